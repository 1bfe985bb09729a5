namespace OnnxLowRank.Samples;

/// <summary>How the rows of arrays become batches of the model's inputs.</summary>
/// <param name="Fixed">The number of samples in every run, or null if the model leaves it open.</param>
/// <param name="Most">The most samples that fit into one run's buffers, each at most 2 GiB.</param>
/// <param name="Whole">Per input: a row of its array is the whole input; otherwise rows are stacked along the input's first axis.</param>
sealed record BatchPlan(int? Fixed, int Most, bool[] Whole)
{
    /// <exception cref="DataException">Shapes do not fit the inputs, counts differ, there are no samples, or the inputs' batches contradict each other.</exception>
    public static BatchPlan Of(IReadOnlyList<InputSpec> inputs, string[] names, NpyHeader[] headers)
    {
        bool[] whole = [.. inputs.Select((input, i) => IsWhole(input, names[i], headers[i].Shape))];
        CheckCounts(names, headers);
        if (headers.All(header => header.Bytes == 0))
        {
            throw new DataException($"{names[0]}: {headers[0].Shape[0]} samples without an element"); // two billion of them fit into a header
        }

        int? batch = null;
        int decider = -1, alone = Array.IndexOf(whole, true);
        long widest = 1;
        for (int i = 0; i < names.Length; i++)
        {
            widest = Math.Max(widest, RowBytes(inputs[i], headers[i]));
            if (whole[i] || inputs[i].Dimensions[0] is not long size)
            {
                continue;
            }
            if (size is < 1 or > int.MaxValue)
            {
                throw inputs[i].Misfit(names[i], headers[i].Shape, $"a batch of {size} is impossible");
            }
            if (batch is not null && batch != size)
            {
                throw new DataException($"inputs {inputs[decider]} and {inputs[i]} run {batch} and {size} samples at once; save arrays with one more axis, so that each row is a whole input");
            }
            (batch, decider) = ((int)size, i);
        }
        if (alone >= 0 && batch > 1)
        {
            throw new DataException($"{names[alone]}: a row is one whole input '{inputs[alone].Name}', but input {inputs[decider]} runs {batch} samples at once; save both alike");
        }
        batch = alone >= 0 ? 1 : batch;

        long most = Array.MaxLength / widest;
        if (most < (batch ?? 1))
        {
            throw new DataException($"{names[0]}: one run of the model needs a buffer of {(UInt128)widest * (uint)(batch ?? 1)} bytes; at most {Array.MaxLength} are possible");
        }
        return new(batch, (int)Math.Min(most, int.MaxValue), whole);
    }

    static bool IsWhole(InputSpec input, string name, long[] shape)
    {
        int rank = input.Dimensions.Length;
        if (shape.Length == 0)
        {
            throw input.Misfit(name, shape, "it has no axis that counts samples");
        }
        if (shape.Length != rank && shape.Length != rank + 1)
        {
            string expected = rank == 0 ? "1 axis, one number per sample" : $"{rank} axes, the first counting samples (or {rank + 1}, if each sample is a whole input)";
            throw input.Misfit(name, shape, $"expected {expected}");
        }
        bool whole = shape.Length == rank + 1;
        input.CheckShape(name, shape, firstAxis: whole ? 0 : 1);
        return whole;
    }

    static void CheckCounts(string[] names, NpyHeader[] headers)
    {
        long count = headers[0].Shape[0];
        for (int i = 1; i < names.Length; i++)
        {
            if (headers[i].Shape[0] != count)
            {
                throw new DataException($"{names[0]} has {count} samples, but {names[i]} has {headers[i].Shape[0]}");
            }
        }
        if (count is 0 or > int.MaxValue)
        {
            throw new DataException(count == 0 ? $"{names[0]}: holds no samples" : $"{names[0]}: has {count} samples, at most {int.MaxValue} are supported");
        }
    }

    /// <summary>Bytes of one row as stored or as fed, whichever is more.</summary>
    static long RowBytes(InputSpec input, NpyHeader header) => Math.Max(
        ElementTypes.Bytes(input.ElementType, header.Shape[1..]) ?? long.MaxValue,
        ElementTypes.Bytes(header.ElementType, header.Shape[1..]) ?? long.MaxValue);
}
