using System.Runtime.InteropServices;

namespace OnnxLowRank.Runtime;

/// <summary>
/// ONNX Runtime's official builds (1.30 on Linux for one) send usage data to their maker unless told not to, and keep an
/// identifier and log files on disk for it. A compressor of people's models does not want that, so it is turned off.
/// </summary>
static partial class Telemetry
{
    const string Variable = "ORT_DISABLE_TELEMETRY";

    /// <summary>Turns it off unless the user has set the variable to something else. Must run before the library is first used.</summary>
    public static void TurnOff()
    {
        if (Environment.GetEnvironmentVariable(Variable) != null)
        {
            return;
        }
        Environment.SetEnvironmentVariable(Variable, "1");
        if (!OperatingSystem.IsWindows())
        {
            _ = SetNative(Variable, "1", overwrite: 0); // on Unix .NET changes a copy of the environment that native code does not see
        }
    }

    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetNative(string name, string value, int overwrite);
}
