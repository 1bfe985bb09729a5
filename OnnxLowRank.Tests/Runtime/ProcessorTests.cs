using System.Runtime.InteropServices;
using OnnxLowRank.Runtime;

namespace OnnxLowRank.Tests.Runtime;

public class ProcessorTests
{
    [Theory]
    [InlineData("processor\t: 0\ncpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Some Xeon\nstepping\t: 8\ncpu MHz\t\t: 2100.5\n\nprocessor\t: 1\nmodel\t\t: 99\n", "cpu family 6, model 143, Some Xeon, stepping 8")]
    [InlineData("processor\t: 0\nBogoMIPS\t: 243\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n", "CPU implementer 0x41, CPU part 0xd40")]
    [InlineData("", "")]
    public void The_kind_is_named_and_what_changes_from_day_to_day_is_not(string description, string kind) => Assert.Equal(kind, Processor.Of(description));

    [Fact]
    public void The_target_is_what_Linux_says_of_the_processor()
    {
        Assert.SkipUnless(File.Exists("/proc/cpuinfo"), "no /proc/cpuinfo");
        string description = File.ReadAllText("/proc/cpuinfo");
        bool isX86 = RuntimeInformation.ProcessArchitecture == Architecture.X64;

        Assert.Equal(
            !isX86 ? TargetCpu.Arm : description.Contains("avx512_vnni", StringComparison.Ordinal) || description.Contains("avx_vnni", StringComparison.Ordinal) ? TargetCpu.Vnni : TargetCpu.Avx2,
            Processor.Native);
    }
}
