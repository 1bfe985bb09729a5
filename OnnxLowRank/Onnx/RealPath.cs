namespace OnnxLowRank.Onnx;

/// <summary>Where a path really leads.</summary>
static class RealPath
{
    static readonly StringComparison s_comparison =
        OperatingSystem.IsWindows() || OperatingSystem.IsMacOS() ? StringComparison.OrdinalIgnoreCase : StringComparison.Ordinal;

    /// <summary>More links than this on the way lead in circles; systems give up at as many.</summary>
    const int MostLinks = 40;

    /// <summary>The full path with every link on the way resolved, those in links' targets too; parts that do not exist stay as written.</summary>
    public static string Of(string path) => Of(path, MostLinks);

    static string Of(string path, int links)
    {
        path = Path.GetFullPath(path);
        string real = Path.GetPathRoot(path)!;
        foreach (string part in path[real.Length..].Split(Path.DirectorySeparatorChar, StringSplitOptions.RemoveEmptyEntries))
        {
            real = Path.Combine(real, part);
            try
            {
                FileSystemInfo entry = Directory.Exists(real) ? new DirectoryInfo(real) : new FileInfo(real);
                if (links > 0 && entry.ResolveLinkTarget(returnFinalTarget: true) is { } target)
                {
                    real = Of(target.FullName, links - 1);
                }
            }
            catch (IOException)
            {
                // A link that leads nowhere or in circles: opening it reports the error.
            }
        }
        return real;
    }

    /// <summary>Whether two paths lead to one file, existing or not.</summary>
    public static bool AreSame(string a, string b) => string.Equals(Of(a), Of(b), s_comparison);
}
