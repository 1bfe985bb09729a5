using System.Runtime.CompilerServices;

namespace OnnxLowRank.Tests;

/// <summary>Text in the repository that is made from the program: compared to it, or made again.</summary>
static class CommittedText
{
    /// <summary>Set, and not empty: files are written instead of compared. That is what scripts/update-generated.sh does.</summary>
    const string Update = "UPDATE_GENERATED";

    /// <param name="path">Within the repository.</param>
    public static string PathOf(string path) => Path.Combine(Tests(), "..", path);

    static string Tests([CallerFilePath] string here = "") => Path.GetDirectoryName(here)!;

    /// <summary>Asserts that a file is what is made of it as it is now.</summary>
    /// <param name="make">From the file's text, "" where there is none, to what it should be.</param>
    public static void AssertIsUpToDate(string path, Func<string, string> make)
    {
        string file = PathOf(path), text = File.Exists(file) ? File.ReadAllText(file) : "", expected = make(text);
        if (text != expected && !string.IsNullOrEmpty(Environment.GetEnvironmentVariable(Update)))
        {
            File.WriteAllText(file, expected);
            return;
        }
        string[] old = text.Split('\n'), now = expected.Split('\n');
        Assert.True(text == expected,
            $"{path} is out of date: run scripts/update-generated.sh, and read what it changed.\nOnly in the file:\n{Lines(old.Except(now))}\nMissing in it:\n{Lines(now.Except(old))}");
    }

    static string Lines(IEnumerable<string> lines) => string.Join('\n', lines.Select(line => $"  {line}"));
}
