using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Gradients;

/// <summary>Of what moves, selects, repeats or sums numbers.</summary>
static class MovingAdjoints
{
    /// <summary>By operator.</summary>
    public static IEnumerable<(string OpType, AdjointRule Rule)> Rules =>
    [
        ("Reshape", node => node.Give(0, node.Shaped(node.Gradient))),
        ("Flatten", node => node.Give(0, node.Shaped(node.Gradient))),
        ("Squeeze", node => node.Give(0, node.Shaped(node.Gradient))),
        ("Unsqueeze", node => node.Give(0, node.Shaped(node.Gradient))),
        ("Expand", node => node.Give(0, node.Summed(node.Gradient, node.OutputShape, 0))),
        ("Transpose", Transpose),
        ("Concat", Concat),
        ("Split", Split),
        ("Slice", Slice),
        ("Gather", Gather),
        ("Pad", Pad),
        ("DepthToSpace", DepthToSpace),
        ("Resize", Repeated),
        ("Upsample", Repeated),
        ("ReduceMean", node => Reduce(node, 18, (repeated, count) => node.Times(repeated, node.Scalar(1.0 / count)))),
        ("ReduceSum", node => Reduce(node, 13, (repeated, _) => repeated)),
        ("ReduceMax", ReduceToOne),
        ("ReduceMin", ReduceToOne),
    ];

    static bool Transpose(Adjoint node)
    {
        int rank = node.InputShape().Length;
        long[] order = node.Node.Ints("perm") ?? [.. Enumerable.Range(0, rank).Select(axis => (long)(rank - 1 - axis))];
        return node.Give(0, node.Writer.Node("Transpose", [node.Gradient], back => back.With("perm", [.. Enumerable.Range(0, rank).Select(axis => (long)Array.IndexOf(order, axis))])));
    }

    static bool Concat(Adjoint node)
    {
        long axis = From(node.Node.Int("axis", 1), node.OutputShape.Length), first = 0;
        for (int i = 0; i < node.Node.Input.Count; i++)
        {
            long length = node.Trace.IsSingle(node.Input(i)) ? node.InputShape(i)[axis] : -1;
            if (length < 0)
            {
                return false;
            }
            if (node.Wants(i))
            {
                node.Give(i, Taken(node, node.Gradient, Range(first, length), axis));
            }
            first += length;
        }
        return true;
    }

    static bool Split(Adjoint node)
    {
        string[] parts = [.. node.Node.Output.Select((output, i) => node.Gradients[i] ?? node.Times(output, node.Scalar(0)))];
        return node.Give(0, node.Writer.Node("Concat", parts, concat => concat.With("axis", From(node.Node.Int("axis", 0), node.InputShape().Length))));
    }

    /// <summary>A Slice's end that stands for that of the axis, however long it is.</summary>
    const long Endless = 1_000_000_000;

    static bool Slice(Adjoint node)
    {
        long[] shape = node.InputShape();
        long[]? Told(string attribute, int operand, long[] missing) => node.Node.InputOrEmpty(operand) is { Length: > 0 } value ? node.Trace.Integers(value) : node.Node.Ints(attribute) ?? missing;
        if (Told("starts", 1, []) is not { Length: > 0 } starts || Told("ends", 2, []) is not { } ends || ends.Length != starts.Length
            || Told("axes", 3, Range(0, starts.Length)) is not { } axes || axes.Length != starts.Length
            || Told("steps", 4, [.. starts.Select(_ => 1L)]) is not { } steps || steps.Length != starts.Length)
        {
            return false;
        }
        string gradient = node.Gradient;
        for (int i = 0; i < starts.Length; i++)
        {
            long axis = From(axes[i], shape.Length), length = shape[axis];
            if (starts[i] == 0 && steps[i] == 1 && ends[i] >= Endless)
            {
                continue;
            }
            if (length < 0)
            {
                return false;
            }
            long low = steps[i] < 0 ? -1 : 0, start = Math.Clamp(From(starts[i], length), 0, steps[i] < 0 ? length - 1 : length);
            long end = ends[i] < -length ? low : Math.Clamp(From(ends[i], length), low, length);
            var places = new List<long>();
            for (long at = start; steps[i] > 0 ? at < end : at > end; at += steps[i])
            {
                places.Add(at);
            }
            if (places.Count == 0)
            {
                return false;
            }
            gradient = Placed(node, gradient, places, length, axis);
        }
        return node.Give(gradient);
    }

    /// <summary>Rows at places that are constants, no place twice.</summary>
    static bool Gather(Adjoint node)
    {
        long[] shape = node.InputShape();
        long axis = From(node.Node.Int("axis", 0), shape.Length), length = shape[axis];
        if (!node.WantsOnlyFirst || length < 0 || node.Trace.Integers(node.Input(1)) is not { Length: > 0 } places)
        {
            return false;
        }
        places = Array.ConvertAll(places, place => From(place, length));
        if (places.Distinct().Count() < places.Length)
        {
            return false;
        }
        // The axes of the places become one.
        long[] kept = Array.ConvertAll(shape, _ => 1L), own = Array.ConvertAll(shape, _ => 0L);
        (kept[axis], own[axis]) = (0, places.Length);
        string rows = node.Plus(node.Times(node.Writer.Node("Shape", [node.Input()]), node.Writer.Int64s(kept)), node.Writer.Int64s(own));
        return node.Give(0, Placed(node, node.Writer.Node("Reshape", [node.Gradient, rows]), places, length, axis));
    }

    static bool Pad(Adjoint node)
    {
        long[] shape = node.InputShape();
        if (!node.WantsOnlyFirst || node.Node.Text("mode", "constant") != "constant" || node.Node.InputOrEmpty(3).Length > 0
            || (node.Node.InputOrEmpty(1) is { Length: > 0 } value ? node.Trace.Integers(value) : node.Node.Ints("pads")) is not { } pads || pads.Length != 2 * shape.Length || pads.Any(pad => pad < 0))
        {
            return false;
        }
        string gradient = node.Gradient;
        for (int axis = 0; axis < shape.Length; axis++)
        {
            if (pads[axis] + pads[axis + shape.Length] == 0)
            {
                continue;
            }
            if (shape[axis] < 0)
            {
                return false;
            }
            gradient = Taken(node, gradient, Range(pads[axis], shape[axis]), axis);
        }
        return node.Give(0, gradient);
    }

    static bool DepthToSpace(Adjoint node) => node.Node.Text("mode", "DCR") == "DCR"
        && node.Give(0, node.Writer.Node("SpaceToDepth", [node.Gradient], back => back.With("blocksize", node.Node.Int("blocksize", 1))));

    /// <summary>Images of which every pixel becomes a block of so many by so many: summed over the blocks.</summary>
    static bool Repeated(Adjoint node)
    {
        long[] from = node.InputShape(), to = node.OutputShape;
        if (node.Node.Text("mode", "nearest") != "nearest" || from.Length < 3 || from[1] != to[1] || from[1..].Any(dim => dim <= 0) || Enumerable.Range(2, from.Length - 2).Any(axis => to[axis] % from[axis] != 0))
        {
            return false;
        }
        long[] block = [.. Enumerable.Range(2, from.Length - 2).Select(axis => to[axis] / from[axis])];
        var ones = new float[from[1] * block.Aggregate(1L, (product, size) => product * size)];
        Array.Fill(ones, 1);
        return node.Give(node.Writer.Node("Conv", [node.Gradient, node.Writer.Floats(ones, [from[1], 1, .. block])], conv => conv.With("group", from[1]).With("strides", block)));
    }

    /// <summary>The gradient goes to the number that the output is.</summary>
    static bool ReduceToOne(Adjoint node) =>
        Repeat(node, node.Output, 18) is { } chosen && Reduce(node, 18, (repeated, _) => node.Times(repeated, node.AreEqual(node.Input(), chosen)));

    static bool Reduce(Adjoint node, int axesAreInputSince, Func<string, long, string> made)
    {
        if (Repeat(node, node.Gradient, axesAreInputSince) is not { } repeated || !node.Axes(1, node.InputShape().Length, out long[] axes))
        {
            return false;
        }
        long[] shape = node.InputShape(), reduced = axes.Length > 0 ? [.. axes.Select(axis => shape[axis])] : shape;
        return node.Give(0, made(repeated, reduced.Aggregate(1L, (product, dim) => product * dim)));
    }

    /// <summary>What a reduction made, or its gradient, in the place of everything that was reduced; null where the axes, or how long they are, are not known.</summary>
    static string? Repeat(Adjoint node, string value, int axesAreInputSince)
    {
        long[] shape = node.InputShape();
        if (!node.Axes(1, shape.Length, out long[] axes) || (axes.Length == 0 && node.Writer.Opset >= axesAreInputSince && node.Node.Int("noop_with_empty_axes", 0) != 0))
        {
            return null;
        }
        long[] all = axes.Length > 0 ? axes : Range(0, shape.Length);
        if (all.Any(axis => shape[axis] < 0))
        {
            return null;
        }
        string size = node.Writer.Node("Shape", [node.Input()]);
        long[] kept = [.. Range(0, shape.Length).Select(axis => all.Contains(axis) ? 0L : 1)];
        string one = node.Plus(node.Times(size, node.Writer.Int64s(kept)), node.Writer.Int64s(Array.ConvertAll(kept, keeps => 1 - keeps)));
        return node.Writer.Node("Expand", [node.Writer.Node("Reshape", [value, one]), size]);
    }

    static long From(long index, long length) => index < 0 ? index + length : index;

    static long[] Range(long first, long count) => [.. Enumerable.Range(0, (int)count).Select(i => first + i)];

    static string Taken(Adjoint node, string value, ReadOnlySpan<long> places, long axis) => node.Writer.Node("Gather", [value, node.Writer.Int64s(places)], gather => gather.With("axis", axis));

    /// <summary>Rows at their places among as many as there are, and zeros at the others.</summary>
    static string Placed(Adjoint node, string rows, IReadOnlyList<long> places, long length, long axis)
    {
        var from = new long[length];
        Array.Fill(from, places.Count);
        for (int i = 0; i < places.Count; i++)
        {
            from[places[i]] = i;
        }
        string zeros = node.Times(Taken(node, rows, [0], axis), node.Scalar(0));
        string all = node.Writer.Node("Concat", [rows, zeros], (NodeProto concat) => concat.With("axis", axis));
        return Taken(node, all, from, axis);
    }
}
