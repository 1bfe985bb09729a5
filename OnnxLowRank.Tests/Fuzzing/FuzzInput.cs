namespace OnnxLowRank.Tests.Fuzzing;

/// <summary>A file as a target reads it.</summary>
/// <param name="Name">Relative to the folder of the case.</param>
readonly record struct FuzzFile(string Name, byte[] Content);

/// <summary>The files of one case, the one that is mutated first.</summary>
sealed record FuzzInput(FuzzFile Main, params FuzzFile[] Beside)
{
    public long Bytes => Main.Content.Length + Beside.Sum(file => (long)file.Content.Length);

    public FuzzInput With(byte[] main) => this with { Main = Main with { Content = main } };

    public void WriteTo(string folder)
    {
        foreach (var file in Beside.Prepend(Main))
        {
            string path = Path.Combine(folder, file.Name);
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.WriteAllBytes(path, file.Content);
        }
    }

    /// <summary>Rewriting a file makes some file systems wait for the disk, so every case starts with none.</summary>
    public void DeleteFrom(string folder)
    {
        foreach (var file in Beside.Prepend(Main))
        {
            File.Delete(Path.Combine(folder, file.Name));
        }
    }
}
