namespace OnnxLowRank.Storage;

/// <summary>Files that hold something. A pipe, which looks like an empty file, would keep whoever opens it waiting for a writer.</summary>
static class RegularFile
{
    /// <exception cref="IOException">It is empty, a pipe or a device.</exception>
    public static void Require(string path)
    {
        if (new FileInfo(path) is { Exists: true, Length: 0 })
        {
            throw new IOException("it is empty, or no regular file");
        }
    }

    /// <exception cref="IOException">It cannot be opened, or is none.</exception>
    public static FileStream Open(string path)
    {
        Require(path);
        return new(path, FileMode.Open, FileAccess.Read, FileShare.Read);
    }
}
