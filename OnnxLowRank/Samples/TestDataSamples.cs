using System.Globalization;

namespace OnnxLowRank.Samples;

/// <summary>Samples in the layout of ONNX's own model tests: test_data_set_N/input_N.pb. Each set is one run with its own shapes.</summary>
sealed class TestDataSamples : SampleSource
{
    readonly IReadOnlyList<InputSpec> _inputs;
    readonly List<string[]> _sets;

    TestDataSamples(IReadOnlyList<InputSpec> inputs, List<string[]> sets, long bytesPerSample, List<string> notes) =>
        (_inputs, _sets, BytesPerSample, Notes) = (inputs, sets, bytesPerSample, notes);

    public override int Count => _sets.Count;

    public override long BytesPerSample { get; }

    public override IReadOnlyList<string> Files => [.. _sets.SelectMany(set => set)];

    public override IReadOnlyList<string> Notes { get; }

    /// <summary>The folder itself if it is a set, else the sets in it, test_data_set_10 after test_data_set_2; none if it is something else.</summary>
    public static List<string> FindSets(string path)
    {
        if (!Directory.Exists(path))
        {
            return [];
        }
        return DataFile.Reading<List<string>>(path, () => Tensors(path).Length > 0
            ? [path]
            : [.. Directory.GetDirectories(path, "test_data_set_*").OrderBy(Number).ThenBy(set => set, StringComparer.Ordinal)]);
    }

    /// <summary>Decodes every tensor once, to check it; <see cref="Read"/> decodes those of its set again.</summary>
    /// <exception cref="DataException">A set does not have one tensor per input, or a tensor does not fit.</exception>
    public static TestDataSamples OpenSets(List<string> sets, IReadOnlyList<InputSpec> inputs)
    {
        var files = new List<string[]>(sets.Count);
        var notes = new List<string>();
        long largest = 0;
        foreach (string set in sets)
        {
            string[] tensors = DataFile.Reading(set, () => Tensors(set));
            var assigned = Assign(set, tensors, inputs, out long bytes, notes);
            files.Add(assigned);
            largest = Math.Max(largest, bytes);
        }
        return new(inputs, files, largest, notes);
    }

    public override int RunSize(int preferred)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(preferred);
        return 1;
    }

    public override SampleRun Read(ReadOnlySpan<int> indices)
    {
        CheckIndices(indices, 1);
        var buffers = new List<SampleBuffer>(_inputs.Count);
        try
        {
            for (int i = 0; i < _inputs.Count; i++)
            {
                string file = _sets[indices[0]][i];
                var tensor = TensorFile.Read(file);
                Check(file, tensor, _inputs[i]);   // again: the file may have changed
                var buffer = new SampleBuffer(_inputs[i], tensor.Shape);
                buffers.Add(buffer);
                if (tensor.ElementType == _inputs[i].ElementType)
                {
                    tensor.Bytes.CopyTo(buffer.Bytes);
                }
                buffer.Accept(file, tensor.ElementType, tensor.Bytes, indices);
            }
            return new(1, [.. buffers]);
        }
        catch
        {
            buffers.ForEach(buffer => buffer.Dispose());
            throw;
        }
    }

    public override void Dispose()
    {
    }

    /// <summary>One file per input: by the name inside the tensor where that is an input's, by the number of the file otherwise.</summary>
    static string[] Assign(string set, string[] tensors, IReadOnlyList<InputSpec> inputs, out long bytes, List<string> notes)
    {
        var files = new string?[inputs.Count];
        var unnamed = new List<(string File, TensorFile Tensor)>();
        bytes = 0;
        long total = 0;

        void Give(string file, TensorFile tensor, int input)
        {
            if (files[input] is string other)
            {
                throw new DataException($"{set}: {Path.GetFileName(other)} and {Path.GetFileName(file)} are both for input '{inputs[input].Name}'");
            }
            if (Check(file, tensor, inputs[input]) is string note)
            {
                notes.Add(note);
            }
            files[input] = file;
            total += ElementTypes.Bytes(inputs[input].ElementType, tensor.Shape) ?? 0;
        }

        foreach (string file in tensors)
        {
            var tensor = TensorFile.Read(file);
            int named = inputs.ToList().FindIndex(input => input.Name == tensor.Name);
            if (named >= 0)
            {
                Give(file, tensor, named);
            }
            else
            {
                unnamed.Add((file, tensor with { Bytes = [] }));
            }
        }
        foreach (var (file, tensor) in unnamed)
        {
            long number = Number(file);
            if (number >= inputs.Count)
            {
                throw new DataException($"{file}: tensor '{tensor.Name}' is for no input; the model has {inputs.Count} ({ArrayNames.List(inputs.Select(input => input.Name))})");
            }
            Give(file, tensor, (int)number);
        }

        int missing = Array.IndexOf(files, null);
        if (missing >= 0)
        {
            string found = ArrayNames.List(tensors.Select(file => Path.GetFileName(file)));
            throw new DataException($"{set}: no tensor for input '{inputs[missing].Name}'; expected input_{missing}.pb; found {(found.Length == 0 ? "no input_*.pb" : found)}");
        }
        if (total == 0)
        {
            throw new DataException($"{set}: a sample without an element");
        }
        bytes = total;
        return files!;
    }

    /// <returns>A note for the user, or null.</returns>
    static string? Check(string file, TensorFile tensor, InputSpec input)
    {
        string? note = input.CheckType(file, tensor.ElementType);
        if (tensor.Shape.Length != input.Dimensions.Length)
        {
            throw input.Misfit(file, tensor.Shape, $"{tensor.Shape.Length} axes, not {input.Dimensions.Length}");
        }
        input.CheckShape(file, tensor.Shape, firstAxis: 0);
        if (ElementTypes.Bytes(input.ElementType, tensor.Shape) is not { } bytes || bytes > Array.MaxLength)
        {
            throw input.Misfit(file, tensor.Shape, $"as {ElementTypes.Name(input.ElementType)} it takes more than {Array.MaxLength} bytes");
        }
        return note;
    }

    static string[] Tensors(string set) =>
        [.. Directory.GetFiles(set, "input_*.pb").OrderBy(Number).ThenBy(file => file, StringComparer.Ordinal)];

    /// <summary>The N of input_N.pb or test_data_set_N; whatever has none comes last.</summary>
    static long Number(string path)
    {
        string name = Path.GetFileNameWithoutExtension(path);
        return long.TryParse(name.AsSpan(name.LastIndexOf('_') + 1), NumberStyles.None, CultureInfo.InvariantCulture, out long number) ? number : long.MaxValue;
    }
}
