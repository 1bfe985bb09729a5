namespace OnnxLowRank.Onnx;

/// <summary>Where a path really leads.</summary>
static class RealPath
{
    static readonly StringComparison s_comparison =
        OperatingSystem.IsWindows() || OperatingSystem.IsMacOS() ? StringComparison.OrdinalIgnoreCase : StringComparison.Ordinal;

    /// <summary>The full path with every link on the way resolved; parts that do not exist stay as written.</summary>
    public static string Of(string path)
    {
        path = Path.GetFullPath(path);
        string real = Path.GetPathRoot(path)!;
        foreach (string part in path[real.Length..].Split(Path.DirectorySeparatorChar, StringSplitOptions.RemoveEmptyEntries))
        {
            real = Path.Combine(real, part);
            try
            {
                FileSystemInfo entry = Directory.Exists(real) ? new DirectoryInfo(real) : new FileInfo(real);
                real = entry.ResolveLinkTarget(returnFinalTarget: true)?.FullName ?? real;
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
