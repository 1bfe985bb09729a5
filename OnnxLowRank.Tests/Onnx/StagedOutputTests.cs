using OnnxLowRank.Onnx;
using OnnxLowRank.Tests.Samples;

namespace OnnxLowRank.Tests.Onnx;

public class StagedOutputTests
{
    static string[] Names(string folder) => [.. Directory.EnumerateFileSystemEntries(folder).Select(entry => Path.GetFileName(entry)).Order(StringComparer.Ordinal)];

    [Fact]
    public void Nothing_is_left_without_a_commit()
    {
        using var folder = new TempFolder();
        folder.File("out.onnx", [1, 2, 3]);

        using (var staged = new StagedOutput(Path.Combine(folder.Path, "out.onnx")))
        {
            File.WriteAllBytes(staged.ModelPath, [9]);
            File.WriteAllBytes(staged.ModelPath + ".data", [9, 9]);
            Assert.Equal(3, staged.Bytes);
            Assert.Equal(folder.Path, Path.GetDirectoryName(Path.GetDirectoryName(staged.ModelPath)));
        }

        Assert.Equal(["out.onnx"], Names(folder.Path));
        Assert.Equal([1, 2, 3], File.ReadAllBytes(Path.Combine(folder.Path, "out.onnx")));
    }

    [Fact]
    public void A_commit_replaces_model_and_data_and_leaves_nothing_else()
    {
        using var folder = new TempFolder();
        folder.File("out.onnx", [1, 2, 3]);
        folder.File("out.onnx.data", [1]);

        using (var staged = new StagedOutput(Path.Combine(folder.Path, "out.onnx")))
        {
            File.WriteAllBytes(staged.ModelPath, [9]);
            File.WriteAllBytes(staged.ModelPath + ".data", [8, 8]);
            staged.Commit();
        }

        Assert.Equal(["out.onnx", "out.onnx.data"], Names(folder.Path));
        Assert.Equal([9], File.ReadAllBytes(Path.Combine(folder.Path, "out.onnx")));
        Assert.Equal([8, 8], File.ReadAllBytes(Path.Combine(folder.Path, "out.onnx.data")));
    }

    [Fact]
    public void Clear_removes_what_was_staged_to_stage_something_else()
    {
        using var folder = new TempFolder();
        using var staged = new StagedOutput(Path.Combine(folder.Path, "out.onnx"));
        File.WriteAllBytes(staged.ModelPath + ".data", [8, 8]);

        staged.Clear();
        File.WriteAllBytes(staged.ModelPath, [9]);
        staged.Commit();

        Assert.Equal([9], File.ReadAllBytes(Path.Combine(folder.Path, "out.onnx")));
        Assert.False(File.Exists(Path.Combine(folder.Path, "out.onnx.data")));
    }

    [Fact]
    public void A_folder_that_does_not_exist_is_named()
    {
        using var folder = new TempFolder();

        var e = Assert.Throws<IOException>(() => new StagedOutput(Path.Combine(folder.Path, "no", "out.onnx")));

        Assert.Contains($"folder {Path.Combine(folder.Path, "no")} does not exist", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_is_no_destination()
    {
        using var folder = new TempFolder();

        var e = Assert.Throws<IOException>(() => new StagedOutput(folder.Path));

        Assert.EndsWith("is a folder", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_unwritable_folder_is_found_before_any_work()
    {
        Assert.SkipUnless(Directory.Exists("/proc"), "no folder here in which not even root may write");

        Assert.ThrowsAny<IOException>(() => new StagedOutput("/proc/out.onnx"));
    }
}
