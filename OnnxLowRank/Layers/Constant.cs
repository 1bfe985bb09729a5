using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Storage;
using static OnnxLowRank.Onnx.Proto.TensorProto.Types;

namespace OnnxLowRank.Layers;

/// <summary>
/// A value that is known before the model runs: an initializer or Constant node, seen through Identity, Transpose, Cast and
/// Reshape. The elements are read on demand, so that finding layers costs no memory.
/// </summary>
sealed class Constant
{
    /// <summary>Longer chains of views are no exporter's; following one from each of its readers would take forever.</summary>
    public const int MostViews = 64;

    readonly TensorProto _tensor;
    readonly List<NodeProto> _steps;
    readonly GraphIndex _index;
    readonly bool _inputsAreConstant;

    Constant(string root, TensorProto tensor, List<NodeProto> steps, GraphIndex index, bool inputsAreConstant)
    {
        Root = root;
        _tensor = tensor;
        _steps = steps;
        _index = index;
        _inputsAreConstant = inputsAreConstant;
        Type = StoredType = (DataType)tensor.DataType;
        Dims = [.. tensor.Dims];
        foreach (var step in steps)
        {
            if (step.Is("Cast"))
            {
                Type = (DataType)step.Int("to", 0);
                StoredType = TensorType.Bits(Type) < TensorType.Bits(StoredType) ? Type : StoredType;
            }
            Dims = DimsAfter(step, Dims);
        }
    }

    Constant(Constant other, TensorProto tensor)
    {
        (Root, Type, StoredType, Dims) = (other.Root, other.Type, other.StoredType, other.Dims);
        (_tensor, _steps, _index, _inputsAreConstant) = (tensor, [], other._index, other._inputsAreConstant);
    }

    /// <summary>The name of the initializer, or of the Constant node's output, that everything is read from.</summary>
    public string Root { get; }

    /// <summary>Element type where the value is used.</summary>
    public DataType Type { get; }

    /// <summary>The narrowest element type that the elements go through: they need no wider one to be stored in.</summary>
    public DataType StoredType { get; }

    /// <summary>Shape where the value is used.</summary>
    public long[] Dims { get; }

    /// <summary>The largest magnitude of the elements, 0 of none; NaN or infinity if any element is.</summary>
    public float LargestMagnitude => _tensor.LargestMagnitude();

    /// <summary>Bytes of the stored tensor.</summary>
    public long StoredBytes => _tensor.StoredBytes();

    /// <summary>Another constant of the same shape and types, of which the graph knows nothing.</summary>
    /// <param name="values">Row-major in <see cref="Dims"/>; not rounded, whatever they will be stored in.</param>
    /// <param name="spill">Where they wait.</param>
    public Constant With(float[] values, Spill spill) =>
        new(this, TensorData.Wrap(Root, DataType.Float, spill.Keep(TensorData.Floats(Root, values, Dims).RawData.Memory), Dims));

    /// <summary>The same text for two values that are computed alike from the same root.</summary>
    public string Signature => string.Join(' ', [Root, .. _steps.Select(Describe)]);

    string Describe(NodeProto step) => step.OpType switch
    {
        "Transpose" => $"Transpose[{string.Join(',', step.Ints("perm") ?? [])}]",
        "Cast" => $"Cast[{step.Int("to", 0)}]",
        "Reshape" => $"Reshape[{string.Join(',', ShapeOperand(step) ?? [])}]",
        _ => "",
    };

    /// <summary>The constant behind a value, or null with the reason why there is none.</summary>
    /// <param name="value">The name as a node reads it.</param>
    /// <param name="inputsAreConstant">Whether an initializer that is also listed as graph input counts.</param>
    public static Constant? Find(GraphIndex index, string value, bool inputsAreConstant, out string reason)
    {
        var steps = new List<NodeProto>();
        string name = value;
        while (true)
        {
            if (index.Initializer(name) is { } tensor)
            {
                bool overridable = index.IsInput(name) && !inputsAreConstant;
                reason = overridable
                    ? $"its weight '{name}' is also a graph input, which a caller may override; --constant-inputs says that none does"
                    : "";
                return overridable ? null : Of(name, tensor, out reason);
            }
            var producer = index.Producer(name);
            if (producer == null)
            {
                reason = $"its weight '{name}' is {(index.IsInput(name) ? "a graph input" : "stored as a sparse tensor")}";
                return null;
            }
            if (producer.Is("Constant") && producer.Tensor("value") is { } inline)
            {
                return Of(name, inline, out reason);
            }
            bool known = producer.Is("Identity") || producer.Is("Transpose") || producer.Is("Cast")
                || (producer.Is("Reshape") && ShapeOperand(producer, index, inputsAreConstant) != null);
            if (!known || steps.Count == MostViews)
            {
                reason = producer.OpType == "DequantizeLinear" && index.Initializer(producer.InputOrEmpty(0)) is { } quantized
                    ? $"its weight '{quantized.Name}' is quantized to {TensorType.Name(quantized.DataType)} already"
                    : $"its weight is computed by {GraphOrder.Describe(producer)}";
                return null;
            }
            steps.Add(producer);
            name = producer.Input[0];
        }

        Constant? Of(string root, TensorProto tensor, out string reason)
        {
            steps.Reverse();
            var constant = new Constant(root, tensor, steps, index, inputsAreConstant);
            var other = steps.Where(step => step.Is("Cast")).Select(step => (DataType)step.Int("to", 0)).FirstOrDefault(to => !TensorType.IsReal(to));
            reason = !TensorType.IsReal((DataType)tensor.DataType) ? $"its weight is {TensorType.Name(tensor.DataType)}: no floats"
                : other != DataType.Undefined ? $"its weight is cast to {TensorType.Name((int)other)}, which rounds it"
                : "";
            return reason.Length == 0 ? constant : null;
        }
    }

    static long[]? ShapeOperand(NodeProto reshape, GraphIndex index, bool inputsAreConstant)
    {
        string name = reshape.InputOrEmpty(1);
        var tensor = index.Initializer(name) ?? (index.Producer(name) is { } node && node.Is("Constant") ? node.Tensor("value") : null);
        return tensor is { DataType: (int)DataType.Int64, Dims: [var axes] } && axes <= TensorData.MostAxes && (inputsAreConstant || !index.IsInput(name)) && reshape.Int("allowzero", 0) == 0
            ? tensor.ToInt64s()
            : null;
    }

    long[]? ShapeOperand(NodeProto reshape) => ShapeOperand(reshape, _index, _inputsAreConstant);

    long[] DimsAfter(NodeProto step, long[] dims)
    {
        if (step.Is("Transpose"))
        {
            return Array.ConvertAll(Permutation(step, dims.Length), axis => dims[axis]);
        }
        if (!step.Is("Reshape"))
        {
            return dims;
        }
        return Reshaped(dims, ShapeOperand(step)!)
            ?? throw new ModelException($"node {GraphOrder.Describe(step)}: [{string.Join(',', ShapeOperand(step)!)}] is no shape for a tensor of [{string.Join(',', dims)}]");
    }

    /// <summary>The shape that Reshape gives a tensor of <paramref name="dims"/>: 0 keeps a length, one −1 stands for the rest; null where the elements do not fill it.</summary>
    static long[]? Reshaped(long[] dims, long[] shape)
    {
        long[] lengths = [.. shape.Select((length, i) => length == 0 && i < dims.Length ? dims[i] : length)];
        int open = Array.IndexOf(lengths, -1);
        long? total = TensorData.Count(dims);
        if (open >= 0)
        {
            lengths[open] = 1;
            lengths[open] = TensorData.Count(lengths) is long rest and > 0 ? total!.Value / rest : 0;
        }
        return TensorData.Count(lengths) == total ? lengths : null;
    }

    static int[] Permutation(NodeProto transpose, int rank)
    {
        long[] permutation = transpose.Ints("perm") is { Length: > 0 } perm ? perm : [.. Enumerable.Range(0, rank).Reverse()];
        return permutation.Length == rank && permutation.Order().SequenceEqual(Enumerable.Range(0, rank).Select(axis => (long)axis))
            ? Array.ConvertAll(permutation, axis => (int)axis)
            : throw new ModelException($"node {GraphOrder.Describe(transpose)}: perm does not fit a tensor of rank {rank}");
    }

    /// <summary>The same as <see cref="Read"/> gives, without a copy where they lie in memory or in a mapped file as they are used.</summary>
    public Kept Open() => _steps.Count == 0 && _tensor.DataType == (int)DataType.Float && _tensor.HasRawData && BitConverter.IsLittleEndian
        ? new(_tensor.RawData.Memory)
        : new(Read());

    /// <summary>The elements where the value is used, row-major in <see cref="Dims"/>.</summary>
    public float[] Read()
    {
        float[] values = _tensor.ToFloats();
        long[] dims = [.. _tensor.Dims];
        foreach (var step in _steps)
        {
            if (step.Is("Cast"))
            {
                TensorData.RoundTo((DataType)step.Int("to", 0), values);
            }
            if (step.Is("Transpose"))
            {
                values = Transposed(values, dims, Permutation(step, dims.Length));
            }
            dims = DimsAfter(step, dims);
        }
        return values;
    }

    static float[] Transposed(float[] values, long[] dims, int[] permutation)
    {
        int rank = dims.Length;
        var strides = new long[rank];
        for (long i = rank - 1, stride = 1; i >= 0; stride *= dims[i], i--)
        {
            strides[i] = stride;
        }
        var result = new float[values.Length];
        var position = new long[rank];
        long from = 0;
        for (int to = 0; to < result.Length; to++)
        {
            result[to] = values[from];
            for (int axis = rank - 1; axis >= 0; axis--)
            {
                long stride = strides[permutation[axis]];
                from += stride;
                if (++position[axis] < dims[permutation[axis]])
                {
                    break;
                }
                from -= stride * position[axis];
                position[axis] = 0;
            }
        }
        return result;
    }
}
