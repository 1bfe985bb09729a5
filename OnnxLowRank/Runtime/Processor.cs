using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace OnnxLowRank.Runtime;

/// <summary>What kind of processor this is: enough to tell machines apart on which the same kernels take another time.</summary>
static class Processor
{
    const string CpuInfo = "/proc/cpuinfo";

    /// <summary>Lines of Linux's description that name the kind: of x86 the first four, of ARM the others.</summary>
    static readonly string[] s_fields = ["model name", "cpu family", "model", "stepping", "CPU implementer", "CPU architecture", "CPU variant", "CPU part"];

    /// <summary>One line of text, the same at every call.</summary>
    public static string Name { get; } = $"{Kind()}, {RuntimeInformation.ProcessArchitecture}, {Environment.ProcessorCount} cores";

    /// <summary>This machine's kind: never <see cref="TargetCpu.Native"/>.</summary>
    public static TargetCpu Native { get; } = !X86Base.IsSupported ? TargetCpu.Arm : HasVnni() ? TargetCpu.Vnni : TargetCpu.Avx2;

    /// <summary>Asks the processor: the flags that .NET has names for do not tell all that ONNX Runtime's kernels look at.</summary>
    static bool HasVnni()
    {
        const int Features = 7, Avx512Vnni = 1 << 11, AvxVnni = 1 << 4;
        if (X86Base.CpuId(0, 0).Eax < Features)
        {
            return false;
        }
        var (leaves, _, ecx, _) = X86Base.CpuId(Features, 0);
        return (Avx512BW.VL.IsSupported && (ecx & Avx512Vnni) != 0)
            || (Avx2.IsSupported && leaves >= 1 && (X86Base.CpuId(Features, 1).Eax & AvxVnni) != 0);
    }

    static string Kind()
    {
        try
        {
            return File.Exists(CpuInfo)
                ? Of(File.ReadAllText(CpuInfo))
                : Environment.GetEnvironmentVariable("PROCESSOR_IDENTIFIER") ?? RuntimeInformation.OSDescription;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return RuntimeInformation.OSDescription;
        }
    }

    /// <param name="description">Text of /proc/cpuinfo; the first processor counts.</param>
    public static string Of(string description)
    {
        var fields = description.Split("\n\n")[0].Split('\n').Select(line => line.Split(':', 2)).Where(parts => parts.Length == 2)
            .Select(parts => (Name: parts[0].Trim(), Value: parts[1].Trim())).Where(field => s_fields.Contains(field.Name));
        return string.Join(", ", fields.Select(field => field.Name == "model name" ? field.Value : $"{field.Name} {field.Value}"));
    }
}
