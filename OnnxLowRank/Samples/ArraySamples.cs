using System.Buffers;

namespace OnnxLowRank.Samples;

/// <summary>Samples along the first axis of one array per input: from .npy files or an .npz.</summary>
sealed class ArraySamples : SampleSource
{
    readonly InputSpec[] _inputs;
    readonly SampleArray[] _arrays;
    readonly BatchPlan _plan;

    ArraySamples(InputSpec[] inputs, SampleArray[] arrays, BatchPlan plan, string[] files, List<string> notes)
    {
        (_inputs, _arrays, _plan, Files, Notes) = (inputs, arrays, plan, files, notes);
        Count = (int)arrays[0].Rows;
        BytesPerSample = inputs.Zip(arrays, (input, array) => ElementTypes.Bytes(input.ElementType, [.. array.Shape.Skip(1)])!.Value).Sum();
    }

    public override int Count { get; }

    public override long BytesPerSample { get; }

    public override IReadOnlyList<string> Files { get; }

    public override IReadOnlyList<string> Notes { get; }

    /// <inheritdoc cref="SampleSource.Open"/>
    public static ArraySamples OpenArrays(string path, IReadOnlyList<InputSpec> inputs, long unpackedLimit)
    {
        if (Directory.Exists(path))
        {
            return FromFolder(path, inputs);
        }
        byte[] start = DataFile.FirstBytes(path, 6);
        if (start.AsSpan().StartsWith("PK"u8))
        {
            return FromNpz(path, inputs, unpackedLimit);
        }
        if (!NpyHeader.IsMagic(start))
        {
            throw new DataException($"{path}: is neither a folder nor a .npy or .npz file");
        }
        if (inputs.Count > 1)
        {
            throw new DataException($"{path}: is one array, but the model has {inputs.Count} inputs ({ArrayNames.List(inputs.Select(input => input.Name))}); give a folder with one NAME.npy each, or an .npz");
        }
        return FromFiles(inputs, [path]);
    }

    public override int RunSize(int preferred)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(preferred);
        return _plan.Fixed ?? Math.Min(preferred, _plan.Most);
    }

    public override SampleRun Read(ReadOnlySpan<int> indices)
    {
        CheckIndices(indices, _plan.Fixed ?? _plan.Most);
        int batch = _plan.Fixed ?? indices.Length;
        var buffers = new List<SampleBuffer>(_inputs.Length);
        try
        {
            for (int i = 0; i < _inputs.Length; i++)
            {
                long[] sample = [.. _arrays[i].Shape.Skip(1)];
                buffers.Add(new(_inputs[i], _plan.Whole[i] ? sample : [batch, .. sample]));
                Fill(buffers[i], _arrays[i], indices, batch);
            }
            return new(indices.Length, [.. buffers]);
        }
        catch
        {
            buffers.ForEach(buffer => buffer.Dispose());
            throw;
        }
    }

    public override void Dispose()
    {
        foreach (var array in _arrays)
        {
            array.Dispose();
        }
    }

    static void Fill(SampleBuffer buffer, SampleArray array, ReadOnlySpan<int> indices, int batch)
    {
        int stored = (int)array.RowBytes * indices.Length;
        if (array.ElementType == buffer.Input.ElementType)
        {
            var elements = buffer.Bytes.Span[..stored];
            Gather(array, indices, elements);
            buffer.Accept(array.Name, array.ElementType, elements, indices);
        }
        else
        {
            byte[] rented = ArrayPool<byte>.Shared.Rent(stored);
            try
            {
                var elements = rented.AsSpan(0, stored);
                Gather(array, indices, elements);
                buffer.Accept(array.Name, array.ElementType, elements, indices);
            }
            finally
            {
                ArrayPool<byte>.Shared.Return(rented);
            }
        }

        var rows = buffer.Bytes.Span;
        int row = rows.Length / batch;
        for (int i = indices.Length; i < batch; i++)
        {
            rows.Slice((i - 1) * row, row).CopyTo(rows[(i * row)..]);
        }
    }

    /// <summary>Copies the rows with these indices; neighbours in one read.</summary>
    static void Gather(SampleArray array, ReadOnlySpan<int> indices, Span<byte> elements)
    {
        int row = (int)array.RowBytes;
        for (int i = 0; i < indices.Length;)
        {
            int next = i + 1;
            while (next < indices.Length && indices[next] == indices[next - 1] + 1)
            {
                next++;
            }
            array.CopyRows(indices[i], elements[(i * row)..(next * row)]);
            i = next;
        }
    }

    static ArraySamples FromFolder(string folder, IReadOnlyList<InputSpec> inputs)
    {
        string inside = Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder)) + Path.DirectorySeparatorChar;
        string FileOf(string name) => Path.Combine(folder, name + ".npy");

        // The name comes from the model, which may be hostile: "../x" must not reach outside.
        bool Exists(string name) => File.Exists(FileOf(name)) && Path.GetFullPath(FileOf(name)).StartsWith(inside, StringComparison.Ordinal);

        var found = DataFile.Reading(folder, () => Directory.GetFiles(folder, "*.npy")).Select(file => Path.GetFileNameWithoutExtension(file));
        var names = ArrayNames.Find(folder, inputs, Exists, found);
        return FromFiles(inputs, [.. names.Select(FileOf)]);
    }

    static ArraySamples FromFiles(IReadOnlyList<InputSpec> inputs, string[] files) =>
        Bind(inputs, files, files, [.. files.Select(Npy.ReadHeader)], i => Npy.Open(files[i]));

    static ArraySamples FromNpz(string path, IReadOnlyList<InputSpec> inputs, long unpackedLimit)
    {
        using var archive = new Npz(path);
        var names = ArrayNames.Find(path, inputs, archive.Names.Contains, archive.Names);
        NpyHeader[] headers = [.. names.Select(archive.ReadHeader)];
        double total = headers.Sum(header => (double)header.Bytes);
        if (total > unpackedLimit)
        {
            throw new DataException($"{path}: unpacks to {total:0} bytes, above the limit of {unpackedLimit}; unpack it into a folder of .npy files, which are read in place");
        }
        return Bind(inputs, [path], [.. names.Select(archive.Describe)], headers, i => archive.Unpack(names[i]));
    }

    /// <summary>Checks all headers against the inputs before the first array is opened or unpacked.</summary>
    static ArraySamples Bind(IReadOnlyList<InputSpec> inputs, string[] files, string[] names, NpyHeader[] headers, Func<int, SampleArray> open)
    {
        var notes = new List<string>();
        for (int i = 0; i < names.Length; i++)
        {
            if (inputs[i].CheckType(names[i], headers[i].ElementType) is string note)
            {
                notes.Add(note);
            }
        }
        var plan = BatchPlan.Of(inputs, names, headers);
        if (plan.Fixed > 1)
        {
            notes.Add($"the model is fixed to batches of {plan.Fixed}; incomplete ones are padded by repeating their last sample");
        }

        var arrays = new List<SampleArray>(names.Length);
        try
        {
            for (int i = 0; i < names.Length; i++)
            {
                arrays.Add(open(i));
            }
            return new([.. inputs], [.. arrays], plan, files, notes);
        }
        catch
        {
            arrays.ForEach(array => array.Dispose());
            throw;
        }
    }
}
