using OnnxLowRank.Onnx;
using OnnxLowRank.Tests.Samples;

namespace OnnxLowRank.Tests.Onnx;

public class RealPathTests
{
    [Fact]
    public void Links_are_followed_through_folders_and_through_other_links()
    {
        using var folder = new TempFolder();
        string real = RealPath.Of(folder.File("inner/file", [1]));
        Directory.CreateSymbolicLink(Path.Combine(folder.Path, "folder"), "inner");
        File.CreateSymbolicLink(Path.Combine(folder.Path, "link"), "folder/file");
        File.CreateSymbolicLink(Path.Combine(folder.Path, "inner", "back"), "../link");

        Assert.Equal(real, RealPath.Of(Path.Combine(folder.Path, "link")));
        Assert.Equal(real, RealPath.Of(Path.Combine(folder.Path, "folder", "back")));
        Assert.True(RealPath.AreSame(real, Path.Combine(folder.Path, "inner", "..", "folder", ".", "file")));
        Assert.False(RealPath.AreSame(real, Path.Combine(folder.Path, "folder", "other")));
    }

    [Theory]
    [InlineData("a", "a")]
    [InlineData("a", "a/below")]
    [InlineData("a", "nowhere")]
    public void Links_that_lead_nowhere_or_in_circles_come_to_an_end(string name, string target)
    {
        using var folder = new TempFolder();
        File.CreateSymbolicLink(Path.Combine(folder.Path, name), target);

        Assert.StartsWith(RealPath.Of(folder.Path), RealPath.Of(Path.Combine(folder.Path, name, "file")), StringComparison.Ordinal);
    }
}
