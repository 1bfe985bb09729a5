using System.Runtime.CompilerServices;
using OnnxLowRank.Runtime;

namespace OnnxLowRank.Tests;

/// <summary>Tests use ONNX Runtime directly, and must not tell its maker about it.</summary>
static class TelemetryIsOff
{
    [ModuleInitializer]
    public static void Initialize() => Telemetry.TurnOff();
}
