namespace OnnxLowRank.Tests;

/// <summary>Models outside the repository, found where a checkout of the project has them beside it.</summary>
static class Zoo
{
    public const string WhyNot = "no zoo beside the repository; ONNX_LOWRANK_ZOO may name one";

    /// <summary>Null where there is none.</summary>
    public static string? Folder { get; } = Find();

    static string? Find()
    {
        if (Environment.GetEnvironmentVariable("ONNX_LOWRANK_ZOO") is { } named)
        {
            return named;
        }
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder != null; folder = folder.Parent)
        {
            foreach (string shared in new[] { "shared", "../shared" })
            {
                string zoo = Path.GetFullPath(Path.Combine(folder.FullName, shared, "zoo"));
                if (Directory.Exists(zoo))
                {
                    return zoo;
                }
            }
        }
        return null;
    }
}
