using OnnxLowRank.Storage;
using OnnxLowRank.Tests.Samples;

namespace OnnxLowRank.Tests.Storage;

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
            File.WriteAllBytes(staged.StagedPath, [9]);
            File.WriteAllBytes(staged.StagedPath + ".data", [9, 9]);
            Assert.Equal(3, staged.Bytes);
            Assert.Equal(folder.Path, Path.GetDirectoryName(Path.GetDirectoryName(staged.StagedPath)));
        }

        Assert.Equal(["out.onnx"], Names(folder.Path));
        Assert.Equal([1, 2, 3], File.ReadAllBytes(Path.Combine(folder.Path, "out.onnx")));
    }

    /// <summary>Of a model whose text is the name of its weights file: that one.</summary>
    static IReadOnlyCollection<string>? Companions(string path) => !File.Exists(path) ? [] : File.ReadAllText(path) is { Length: > 0 } text ? [text] : null;

    static void Stage(StagedOutput staged, string weights)
    {
        File.WriteAllText(staged.StagedPath, weights);
        File.WriteAllText(Path.Combine(Path.GetDirectoryName(staged.StagedPath)!, weights), "weights");
    }

    [Fact]
    public void A_commit_replaces_model_and_weights_and_leaves_nothing_else()
    {
        using var folder = new TempFolder();
        string output = Path.Combine(folder.Path, "out.onnx");
        folder.File("out.onnx", "old.data"u8.ToArray());
        folder.File("old.data", [1]);
        folder.File("other.data", [1]);

        using (var staged = new StagedOutput(output, Companions))
        {
            Stage(staged, "new.data");
            staged.Commit();
        }

        Assert.Equal(["new.data", "other.data", "out.onnx"], Names(folder.Path));
        Assert.Equal("new.data", File.ReadAllText(output));
    }

    [Fact]
    public void Weights_of_a_model_that_was_moved_away_stay()
    {
        using var folder = new TempFolder();
        folder.File("best.onnx", "old.data"u8.ToArray());
        folder.File("old.data", [1]);

        using (var staged = new StagedOutput(Path.Combine(folder.Path, "out.onnx"), Companions))
        {
            Stage(staged, "new.data");
            staged.Commit();
        }

        Assert.Equal(["best.onnx", "new.data", "old.data", "out.onnx"], Names(folder.Path));
    }

    /// <summary>As a kill leaves it: the lock is gone, the folder is there, files may have been moved.</summary>
    static void Kill(StagedOutput staged, params string[] journal)
    {
        string folder = Path.GetDirectoryName(staged.StagedPath)!, kept = folder + "-kept";
        Directory.Move(folder, kept);
        staged.Dispose();
        Directory.Move(kept, folder);
        File.WriteAllLines(Path.Combine(folder, "out.onnx.journal"), journal);
    }

    [Theory]
    [InlineData("old.data", "new.data")] // killed before the model was moved
    [InlineData("new.data", "old.data")] // and after it
    public void What_a_killed_run_left_goes_with_the_next(string current, string unused)
    {
        using var folder = new TempFolder();
        string output = Path.Combine(folder.Path, "out.onnx");
        folder.File("out.onnx", System.Text.Encoding.UTF8.GetBytes(current));
        folder.File("old.data", [1]);
        folder.File("new.data", [2]);
        var killed = new StagedOutput(output, Companions);
        Stage(killed, "new.data");
        Kill(killed, "old.data", "new.data");
        Assert.Equal(4, Names(folder.Path).Length);
        Assert.Contains(unused, Names(folder.Path));

        new StagedOutput(output, Companions).Dispose();

        Assert.Equal([current, "out.onnx"], Names(folder.Path));
    }

    [Fact]
    public void Weights_that_may_belong_to_a_damaged_model_stay()
    {
        using var folder = new TempFolder();
        string output = Path.Combine(folder.Path, "out.onnx");
        folder.File("out.onnx", []);
        folder.File("old.data", [1]);
        var killed = new StagedOutput(output, Companions);
        Kill(killed, "old.data");

        new StagedOutput(output, Companions).Dispose();

        Assert.Equal(["old.data", "out.onnx"], Names(folder.Path));
    }

    [Fact]
    public void A_run_that_is_alive_keeps_its_files()
    {
        using var folder = new TempFolder();
        string output = Path.Combine(folder.Path, "out.onnx");
        using var first = new StagedOutput(output, Companions);
        Stage(first, "first.data");

        using (var second = new StagedOutput(output, Companions))
        {
            Stage(second, "second.data");
            second.Commit();
        }
        Assert.Equal("second.data", File.ReadAllText(output));
        first.Commit();
        first.Dispose();

        Assert.Equal(["first.data", "out.onnx"], Names(folder.Path));
        Assert.Equal("first.data", File.ReadAllText(output));
    }

    [Fact]
    public void A_move_that_fails_leaves_the_older_output_and_nothing_else()
    {
        using var folder = new TempFolder();
        string output = Path.Combine(folder.Path, "out.onnx");
        folder.File("old.data", [1]);
        folder.File("out.onnx", "old.data"u8.ToArray());
        using (var staged = new StagedOutput(output, Companions))
        {
            Stage(staged, "new.data");
            File.Delete(staged.StagedPath); // so that the model cannot be moved when its weights have been

            Assert.ThrowsAny<IOException>(staged.Commit);
        }

        Assert.Equal(["old.data", "out.onnx"], Names(folder.Path));
    }

    [Fact]
    public void Scratch_files_vanish_with_what_is_staged_and_count_for_nothing()
    {
        using var folder = new TempFolder();
        using (var staged = new StagedOutput(Path.Combine(folder.Path, "out.onnx")))
        {
            File.WriteAllBytes(Path.Combine(staged.CreateScratchFolder(), "profile.json"), [1]);
            Assert.Equal(0, staged.Bytes);
        }

        Assert.Empty(Names(folder.Path));
    }

    [Fact]
    public void Files_that_a_killed_run_put_aside_go_and_those_in_use_stay()
    {
        using var folder = new TempFolder();
        folder.File(".out.onnx.abcdefgh.abc.tmp", [1]);
        folder.File(".out.onnx.mine.tmp", [1]);
        using var used = new FileStream(folder.File(".out.onnx.12345678.123.tmp", [1]), FileMode.Open, FileAccess.ReadWrite);

        new StagedOutput(Path.Combine(folder.Path, "out.onnx")).Dispose();

        Assert.Equal([".out.onnx.12345678.123.tmp", ".out.onnx.mine.tmp"], Names(folder.Path));
    }

    [Fact]
    public void One_at_a_time_has_a_lock()
    {
        using var folder = new TempFolder();
        using (var taken = FolderLock.TryTake(folder.Path))
        {
            Assert.NotNull(taken);
            Assert.Null(FolderLock.TryTake(folder.Path));
        }
        using var again = FolderLock.Take(folder.Path);
        Assert.NotNull(again);
        Assert.Null(FolderLock.TryTake(Path.Combine(folder.Path, "nowhere")));
    }

    [Fact]
    public void Clear_removes_what_was_staged_to_stage_something_else()
    {
        using var folder = new TempFolder();
        using var staged = new StagedOutput(Path.Combine(folder.Path, "out.onnx"));
        File.WriteAllBytes(staged.StagedPath + ".data", [8, 8]);

        staged.Clear();
        File.WriteAllBytes(staged.StagedPath, [9]);
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
