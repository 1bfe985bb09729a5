using OnnxLowRank.Numerics;
using static OnnxLowRank.Tests.Numerics.DenseMath;

namespace OnnxLowRank.Tests.Numerics;

public class OpenBlasLibraryTests
{
    [Fact]
    public void A_library_that_is_named_but_absent_is_an_error_with_its_path()
    {
        var error = Assert.Throws<DllNotFoundException>(() => OpenBlasLibrary.Find("/nowhere/libopenblas.so", [], out _));

        Assert.Contains("OPENBLAS_LIB is '/nowhere/libopenblas.so'", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_library_that_is_named_but_another_one_is_an_error_with_the_missing_function()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "uses Linux's math library as the wrong one");

        var error = Assert.Throws<DllNotFoundException>(() => OpenBlasLibrary.Find("libm.so.6", [], out _));

        Assert.Contains("openblas_get_config", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Without_any_library_nothing_is_found_and_nothing_is_said()
    {
        Assert.Null(OpenBlasLibrary.Find(null, ["libopenblas-of-nowhere.so"], out var refusals));
        Assert.Empty(refusals);
    }

    [Fact]
    public void A_wrong_library_under_a_usual_name_is_passed_over_with_a_reason()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "uses Linux's math library as the wrong one");

        Assert.Null(OpenBlasLibrary.Find("", ["libm.so.6"], out var refusals));
        Assert.Contains("libm.so.6", Assert.Single(refusals), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH NO_AFFINITY Haswell MAX_THREADS=64", true)]
    [InlineData("OpenBLAS 0.3.21  USE64BITINT DYNAMIC_ARCH NO_AFFINITY Haswell MAX_THREADS=64", false)]
    public void Builds_with_64_bit_integers_are_refused(string config, bool fit)
    {
        Assert.Equal(fit, OpenBlasLibrary.WhyUnfit(config) is null);
    }

    [Fact]
    public void The_kernels_are_the_ones_chosen_for_this_CPU_unless_the_environment_chooses()
    {
        LinearAlgebraTests.Use("OpenBLAS");
        var library = OpenBlasLibrary.Shared(2, out _)!;
        Assert.SkipUnless(library.Config.Contains("DYNAMIC_ARCH", StringComparison.Ordinal), "a build for one CPU type");
        Assert.SkipWhen(OperatingSystem.IsWindows(), "left to the library there");

        // .NET's copy of the environment is the one the process started with: what the user set, not what we did.
        string? wanted = Environment.GetEnvironmentVariable("OPENBLAS_CORETYPE") ?? OpenBlasLibrary.CoreType();
        Assert.SkipWhen(wanted is null, "no choice for this CPU");

        Assert.Equal(wanted, library.Core, ignoreCase: true);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(50, 20)]
    [InlineData(20, 50)]
    public void The_fallback_for_an_SVD_that_does_not_converge_is_an_SVD(int m, int n)
    {
        var algebra = (OpenBlasAlgebra)LinearAlgebraTests.Use("OpenBLAS");
        var matrix = Make("gaussian", m, n);

        LinearAlgebraTests.AssertIsSvd(matrix, algebra.QrIterationSvd(matrix));
    }
}
