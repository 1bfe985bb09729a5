namespace OnnxLowRank.Samples;

/// <summary>Which array belongs to which input.</summary>
static class ArrayNames
{
    /// <summary>The input's name with what file systems forbid replaced by _.</summary>
    public static string ForFile(string input) => string.Create(input.Length, input, (name, from) =>
    {
        for (int i = 0; i < name.Length; i++)
        {
            name[i] = "/\\:*?\"<>|".Contains(from[i], StringComparison.Ordinal) ? '_' : from[i];
        }
    });

    /// <summary>One array name per input: the input's own name if there is such an array, else <see cref="ForFile"/> of it.</summary>
    /// <param name="where">The folder or archive, for messages.</param>
    /// <param name="found">All names there, for messages.</param>
    /// <exception cref="DataException">An input has no array, or two inputs have the same.</exception>
    public static string[] Find(string where, IReadOnlyList<InputSpec> inputs, Func<string, bool> exists, IEnumerable<string> found)
    {
        var names = new string[inputs.Count];
        var taken = new Dictionary<string, string>();
        for (int i = 0; i < names.Length; i++)
        {
            string input = inputs[i].Name;
            names[i] = exists(input) ? input : ForFile(input);
            if (!exists(names[i]))
            {
                string expected = List(inputs.Select(spec => ForFile(spec.Name) + ".npy"));
                string there = List(found.Order(StringComparer.Ordinal).Select(name => name + ".npy"));
                throw new DataException($"{where}: no array for input '{input}'; expected {expected}; found {(there.Length == 0 ? "no .npy" : there)}");
            }
            if (!taken.TryAdd(names[i], input))
            {
                throw new DataException($"{where}: array '{names[i]}' would serve both input '{taken[names[i]]}' and input '{input}'");
            }
        }
        return names;
    }

    /// <summary>The first ten, and how many more there are.</summary>
    public static string List(IEnumerable<string> names)
    {
        var all = names.ToList();
        return string.Join(", ", all.Take(10)) + (all.Count > 10 ? $" and {all.Count - 10} more" : "");
    }
}
