using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Calibration;

/// <summary>
/// A copy of a model with further outputs, which ONNX Runtime computes where the model runs: what leaves it per run is one small
/// matrix per layer, not activations.
/// </summary>
sealed class ProbeGraph
{
    readonly OnnxModel _model;
    readonly GraphWriter _writer;
    readonly Dictionary<Tap, string> _columns = [];
    readonly Dictionary<string, string> _singles = [];
    readonly Dictionary<PatchSource, string> _patches = [];
    readonly List<string> _outputs = [];

    public ProbeGraph(OnnxModel model)
    {
        _model = model.Copy();
        _model.Graph.Output.Clear();
        _writer = new(_model, "probe");
    }

    /// <summary>Names of the added outputs, in the order they were asked for.</summary>
    public IReadOnlyList<string> Outputs => _outputs;

    /// <summary>The model without nodes and constants that no added output needs.</summary>
    public OnnxModel ToModel()
    {
        _model.Graph.KeepOnly(_outputs);
        return _model;
    }

    /// <summary>Makes a value of the model an output, of whatever type it is.</summary>
    public void AddValue(string value) => AddOutput(value, type: null);

    /// <summary>
    /// Adds three outputs: the value's shape, and over its vectors v their mean c (groups, size) and Σ(v − c)·(v − c)ᵀ (groups, size, size).
    /// About the mean, because single precision would lose a small variance beside a large mean.
    /// </summary>
    /// <param name="testMatrix">
    /// Ω (size, k) of a tap whose channels come last: then c is followed by Σ(v − c)² of every channel (2, size), and the third output is Σ(v − c)·(v − c)ᵀ·Ω (size, k).
    /// </param>
    public void AddMoments(Tap tap, ReadOnlyMemory<byte>? testMatrix = null)
    {
        AddOutput(_writer.Node("Shape", [ValueOf(tap)]), TensorProto.Types.DataType.Int64);
        string value = Single(ValueOf(tap), tap.Type), mean, products;
        if (tap.Axis == tap.Rank - 1 && tap.Groups == 1)
        {
            // Channels last: the vectors are rows as they lie, and Vᵀ·V needs no copy but the centred one.
            string rows = _writer.Node("Reshape", [value, _writer.Int64s([-1, tap.Size])]);
            mean = _writer.Reduced("ReduceMean", 18, rows, [0]);
            string centred = _writer.Node("Sub", [rows, mean]);
            string right = centred;
            if (testMatrix is { } floats)
            {
                mean = _writer.Node("Concat", [mean, _writer.Reduced("ReduceSumSquare", 18, centred, [0])], node => node.With("axis", 0));
                string factors = _writer.Constant(TensorData.Wrap(_writer.Fresh("test_matrix"), TensorProto.Types.DataType.Float, floats, tap.Size, floats.Length / sizeof(float) / tap.Size));
                right = _writer.Node("MatMul", [centred, factors]);
            }
            products = _writer.Node("MatMul", [_writer.Node("Transpose", [centred], node => node.With("perm", [1, 0])), right]);
        }
        else if (tap.IsLong)
        {
            // Every sample's products apart, then their sum: smaller than the value itself, which stays where it is.
            string samples = _writer.Node("Reshape", [value, _writer.Int64s([0, tap.Groups, tap.Size, -1])]);
            mean = _writer.Reduced("ReduceMean", 18, _writer.Reduced("ReduceMean", 18, samples, [3]), [0]);
            string centred = _writer.Node("Sub", [samples, _writer.Node("Reshape", [mean, _writer.Int64s([1, tap.Groups, tap.Size, 1])])]);
            string centredT = _writer.Node("Transpose", [centred], node => node.With("perm", [0, 1, 3, 2]));
            products = _writer.Reduced("ReduceSum", 13, _writer.Node("MatMul", [centred, centredT]), [0]);
        }
        else
        {
            (mean, string centred, string centredT) = Centred(tap);
            products = _writer.Node("MatMul", [centred, centredT]);
        }
        AddOutput(mean, TensorProto.Types.DataType.Float);
        AddOutput(products, TensorProto.Types.DataType.Float);
    }

    /// <summary>
    /// Adds five outputs for two values whose vectors h and y stand at the same places: h's shape, the means of h (groups, r) and of y
    /// (groups, m), and, about those, Σh·hᵀ (groups, r, r) and Σy·hᵀ (groups, m, r).
    /// </summary>
    public void AddCrossMoments(Tap h, Tap y)
    {
        var (hMean, hCentred, hCentredT) = Centred(h);
        var (yMean, yCentred, _) = Centred(y);
        AddOutput(_writer.Node("Shape", [ValueOf(h)]), TensorProto.Types.DataType.Int64);
        AddOutput(hMean, TensorProto.Types.DataType.Float);
        AddOutput(yMean, TensorProto.Types.DataType.Float);
        AddOutput(_writer.Node("MatMul", [hCentred, hCentredT]), TensorProto.Types.DataType.Float);
        AddOutput(_writer.Node("MatMul", [yCentred, hCentredT]), TensorProto.Types.DataType.Float);
    }

    /// <summary>The mean of a value's vectors (groups, size), and the vectors about it as columns and as rows.</summary>
    (string Mean, string Columns, string Rows) Centred(Tap tap)
    {
        string columns = Columns(tap);
        string mean = _writer.Reduced("ReduceMean", 18, columns, [2]);
        string centred = _writer.Node("Sub", [columns, _writer.Node("Reshape", [mean, _writer.Int64s([tap.Groups, tap.Size, 1])])]);
        return (mean, centred, _writer.Node("Transpose", [centred], node => node.With("perm", [0, 2, 1])));
    }

    /// <summary>The name of the value whose vectors a tap looks at.</summary>
    string ValueOf(Tap tap)
    {
        if (tap.Patches is not { } source)
        {
            return tap.Value;
        }
        if (!_patches.TryGetValue(source, out string? value))
        {
            _patches[source] = value = AddPatches(source);
        }
        return value;
    }

    /// <summary>
    /// Adds what a Conv's kernel reads as a value, (N, C·taps, positions of its output), tap within channel as its weight lies: another Conv
    /// whose kernels have a single one each, so that dilations and padding are those of the node itself.
    /// </summary>
    /// <returns>Its name.</returns>
    string AddPatches(PatchSource source)
    {
        var (layer, use, step) = source;
        int taps = layer.KernelSize, channels = layer.Groups * layer.In / taps;
        var ones = new float[channels * taps * taps];
        for (int i = 0; i < channels * taps; i++)
        {
            ones[i * taps + i % taps] = 1;
        }
        string kernels = _writer.Constant(TensorData.Reals(_writer.Fresh("taps"), layer.Type, ones, [channels * taps, 1, .. layer.Kernel]));
        return _writer.Node("Conv", [use.Input, kernels], node =>
        {
            node.Attribute.AddRange(use.Node.Attribute.Where(attribute => attribute.Name is not ("group" or "strides")).Select(attribute => attribute.Clone()));
            node.With("group", channels).With("strides", Array.ConvertAll(Patches.Strides(layer, use), stride => stride * step));
        });
    }

    /// <summary>Adds two outputs: the value's smallest and largest element.</summary>
    public void AddRange(string value, TensorProto.Types.DataType type)
    {
        value = Single(value, type);
        AddOutput(_writer.Node("ReduceMin", [value], node => node.With("keepdims", 0)), TensorProto.Types.DataType.Float);
        AddOutput(_writer.Node("ReduceMax", [value], node => node.With("keepdims", 0)), TensorProto.Types.DataType.Float);
    }

    /// <summary>Adds an output: the largest magnitude of each of the value's vectors, one number per vector.</summary>
    public void AddRowMaxima(Tap tap) =>
        AddOutput(_writer.Reduced("ReduceMax", 18, _writer.Node("Abs", [Single(ValueOf(tap), tap.Type)]), [tap.Axis]), TensorProto.Types.DataType.Float);

    /// <summary>Adds two outputs: the smallest and largest of each number U_gᵀ·v over the value's vectors, (groups, k).</summary>
    /// <param name="basisT">U_gᵀ of all groups, (groups, k, size).</param>
    public void AddProjectedRange(Tap tap, float[] basisT)
    {
        string basis = _writer.Constant(TensorData.Floats(_writer.Fresh("basis"), basisT, tap.Groups, basisT.Length / (tap.Groups * tap.Size), tap.Size));
        string projected = _writer.Node("MatMul", [basis, Columns(tap)]);
        AddOutput(_writer.Reduced("ReduceMin", 18, projected, [2]), TensorProto.Types.DataType.Float);
        AddOutput(_writer.Reduced("ReduceMax", 18, projected, [2]), TensorProto.Types.DataType.Float);
    }

    /// <summary>Adds two outputs: the smallest and largest of each number that the columns of a Conv's kernel make.</summary>
    /// <param name="columns">(k, C_in·k_h).</param>
    public void AddColumnRange(Layer layer, LayerUse use, float[] columns)
    {
        long[] kernel = KernelAxis.Shape(layer, 0);
        long channels = layer.In / layer.KernelSize, count = columns.Length / (channels * kernel[0]);
        string weight = _writer.Constant(TensorData.Reals(_writer.Fresh("columns"), layer.Type, columns, [count, channels, .. kernel]));
        string made = Single(_writer.Node("Conv", [use.Input, weight], node => node.Along(layer, use, axis: 0)), layer.Type);
        string vectors = _writer.Node("Reshape", [made, _writer.Int64s([0, count, -1])]);
        foreach (string reduction in new[] { "ReduceMin", "ReduceMax" })
        {
            AddOutput(_writer.Reduced(reduction, 18, _writer.Reduced(reduction, 18, vectors, [2]), [0]), TensorProto.Types.DataType.Float);
        }
    }

    /// <summary>The value as (groups, size, vectors).</summary>
    string Columns(Tap tap)
    {
        if (_columns.TryGetValue(tap, out string? known))
        {
            return known;
        }
        string first = Single(ValueOf(tap), tap.Type);
        if (tap.Axis > 0)
        {
            long[] permutation = [tap.Axis, .. Enumerable.Range(0, tap.Rank).Where(axis => axis != tap.Axis)];
            first = _writer.Node("Transpose", [first], node => node.With("perm", permutation));
        }
        return _columns[tap] = _writer.Node("Reshape", [first, _writer.Int64s([tap.Groups, tap.Size, -1])]);
    }

    /// <summary>The value in single precision, in which everything is summed.</summary>
    string Single(string value, TensorProto.Types.DataType type)
    {
        if (type == TensorProto.Types.DataType.Float)
        {
            return value;
        }
        if (!_singles.TryGetValue(value, out string? single))
        {
            _singles[value] = single = _writer.Node("Cast", [value], node => node.With("to", (long)TensorProto.Types.DataType.Float));
        }
        return single;
    }

    /// <param name="type">Null where ONNX Runtime infers it.</param>
    void AddOutput(string name, TensorProto.Types.DataType? type)
    {
        _outputs.Add(name);
        if (_model.Graph.Output.All(output => output.Name != name))
        {
            var output = new ValueInfoProto { Name = name };
            if (type is { } known)
            {
                output.Type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = (int)known } };
            }
            _model.Graph.Output.Add(output);
        }
    }
}
