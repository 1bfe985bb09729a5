using OnnxLowRank.Onnx;
using OnnxLowRank.Storage;

namespace OnnxLowRank.Cli;

/// <summary>A file that tells what was done; it appears whole or not at all.</summary>
static class ReportFile
{
    /// <summary>Throws unless a report may and can be written there: better before the job than after it.</summary>
    /// <param name="option">That names the file.</param>
    /// <param name="path">A file, or - for standard output.</param>
    /// <param name="endings">Of names that are allowed, such as .json.</param>
    /// <param name="others">Paths that the command reads or writes; null where there is none.</param>
    /// <exception cref="OptionException">The name is not one for it.</exception>
    /// <exception cref="IOException">It cannot; the message names the file.</exception>
    public static void Require(string option, string path, string[] endings, params string?[] others)
    {
        if (path == "-")
        {
            return;
        }
        if (!endings.Any(ending => Ends(path, ending)))
        {
            throw new OptionException($"{option} {path}: the name must end with {string.Join(" or ", endings)}, or be -");
        }
        if (others.Any(other => other != null && RealPath.AreSame(other, path)))
        {
            throw new OptionException($"{option} {path}: is another file of this command");
        }
        try
        {
            new StagedOutput(path).Dispose();
        }
        catch (IOException e)
        {
            throw new IOException($"{option} {e.Message}", e);
        }
    }

    public static bool Ends(string path, string ending) => path.EndsWith(ending, StringComparison.OrdinalIgnoreCase);

    /// <param name="path">A file, or - for standard output.</param>
    public static void Write(string text, string path)
    {
        using var staged = new StagedReports();
        staged.Add(text, path);
        staged.Commit();
    }
}
