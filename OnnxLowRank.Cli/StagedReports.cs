using OnnxLowRank.Storage;

namespace OnnxLowRank.Cli;

/// <summary>Reports that are on the disk before what they tell of is done, so that no full disk comes between the two, and appear after it.</summary>
sealed class StagedReports(CancellationToken cancellation = default) : IDisposable
{
    readonly List<StagedOutput> _files = [];
    readonly List<string> _printed = [];

    /// <param name="path">A file, or - for standard output.</param>
    /// <exception cref="IOException">It cannot be written; the message names the file.</exception>
    public void Add(string text, string path)
    {
        if (path == "-")
        {
            _printed.Add(text);
            return;
        }
        var file = new StagedOutput(path, cancellation: cancellation);
        _files.Add(file);
        try
        {
            File.WriteAllText(file.StagedPath, text + "\n");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"{path}: cannot be written: {e.Message}", e);
        }
    }

    /// <summary>Moves the files into place, and prints what is for standard output.</summary>
    public void Commit()
    {
        _files.ForEach(file => file.Commit());
        _printed.ForEach(Console.Out.WriteLine);
    }

    public void Dispose() => _files.ForEach(file => file.Dispose());
}
