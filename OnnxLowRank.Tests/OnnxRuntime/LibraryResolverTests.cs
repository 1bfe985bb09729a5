using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Native;

namespace OnnxLowRank.Tests.OnnxRuntime;

public class LibraryResolverTests
{
    readonly string _empty = Directory.CreateTempSubdirectory().FullName;

    [Fact]
    public void The_error_lists_the_places_looked_at()
    {
        var resolver = new LibraryResolver(null, [_empty], ["libno-such-thing.so.1", "libno-such-thing.so"]);

        var e = Assert.Throws<DllNotFoundException>(() => resolver.Find());

        Assert.Contains("ONNXRUNTIME_LIB (not set)", e.Message, StringComparison.Ordinal);
        Assert.Contains(Path.Combine(_empty, "libno-such-thing.so.1") + " (no such file)", e.Message, StringComparison.Ordinal);
        Assert.Contains("; libno-such-thing.so (", e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', e.Message);
    }

    [Fact]
    public void A_chosen_file_that_is_missing_is_an_error_even_if_another_library_is_there()
    {
        var resolver = LibraryResolver.Default with { Chosen = "no/such/file.so" };

        var e = Assert.Throws<DllNotFoundException>(() => resolver.Find());

        Assert.StartsWith("ONNXRUNTIME_LIB names 'no/such/file.so', which is not a usable ONNX Runtime library: no such file", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_chosen_file_that_is_no_library_is_an_error()
    {
        var file = Path.Combine(_empty, "text.so");
        File.WriteAllText(file, "not a library");

        var e = Assert.Throws<DllNotFoundException>(() => (LibraryResolver.Default with { Chosen = file }).Find());

        Assert.Contains(file, e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', e.Message);
    }

    [Fact]
    public void A_chosen_library_that_is_another_one_is_an_error()
    {
        var other = Path.Combine(Path.GetDirectoryName(typeof(object).Assembly.Location)!, OperatingSystem.IsWindows() ? "clrjit.dll" : OperatingSystem.IsMacOS() ? "libclrjit.dylib" : "libclrjit.so");

        var e = Assert.Throws<DllNotFoundException>(() => (LibraryResolver.Default with { Chosen = other }).Find());

        Assert.EndsWith("it has no OrtGetApiBase", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_library_beside_the_program_comes_before_the_system_s()
    {
        var (export, place) = LibraryResolver.Default.Find();

        Assert.NotEqual(0, export);
        Assert.Equal(Environment.GetEnvironmentVariable("ONNXRUNTIME_LIB") ?? Path.Combine(AppContext.BaseDirectory, Path.GetFileName(place)), place);
    }

    [Fact]
    public void A_package_s_library_is_found_where_the_program_has_none()
    {
        var (_, here) = LibraryResolver.Default.Find();

        var (export, place) = new LibraryResolver(null, [_empty, Path.GetDirectoryName(Path.GetFullPath(here))!], [Path.GetFileName(here)]).Find();

        Assert.Equal((Path.GetFullPath(here), true), (place, export != 0));
    }

    [Fact]
    public void A_program_with_a_wrong_choice_fails_with_its_name_each_time() =>
        InNewProcess.Run(WrongChoice, ("ONNXRUNTIME_LIB", "/no/such/lib.so"));

    [Fact(Explicit = true)]
    public void WrongChoice()
    {
        for (int i = 0; i < 2; i++)
        {
            Assert.Contains("/no/such/lib.so", Assert.Throws<DllNotFoundException>(() => OrtEnv.Instance()).Message, StringComparison.Ordinal);
            Assert.Throws<DllNotFoundException>(() => new SessionOptions());
            Assert.Throws<DllNotFoundException>(() => OrtValue.CreateTensorValueFromMemory(new float[1], [1]));
        }
    }
}
