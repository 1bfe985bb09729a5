namespace OnnxLowRank.Cli;

/// <summary>Guesses what was meant by a name that there is none of.</summary>
static class Spelling
{
    /// <summary>Shorter beginnings may be those of anything.</summary>
    const int ShortestBeginning = 4;

    /// <summary>A name that begins like this, else the one that fewest edits make of it, if it is near enough to be meant; else null.</summary>
    public static string? Nearest(string typed, IEnumerable<string> names)
    {
        var (name, edits) = names
            .Select(name => (name, Edits: typed.Length >= ShortestBeginning && name.StartsWith(typed, StringComparison.Ordinal) ? 0 : Edits(typed, name)))
            .MinBy(pair => pair.Edits);
        return edits <= Math.Max(1, typed.Length / 3) ? name : null;
    }

    /// <summary>Insertions, deletions and replacements that turn a into b (Levenshtein).</summary>
    static int Edits(string a, string b)
    {
        int[] row = [.. Enumerable.Range(0, b.Length + 1)];
        for (int i = 1; i <= a.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(replaced, Math.Min(row[j], row[j - 1]) + 1);
            }
        }
        return row[^1];
    }
}
