using System.Numerics.Tensors;
using Google.Protobuf;
using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Storage;
using DataType = OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType;

namespace MakeShaped;

/// <summary>A graph that grows node by node; every value has the name of the node that makes it.</summary>
/// <param name="type">Of weights and activations: float or float16.</param>
/// <param name="spill">Where weights wait until they are written.</param>
sealed class Sketch(ILinearAlgebra algebra, int seed, DataType type, Spill spill)
{
    /// <summary>Singular value i of every weight is (i + 1) to the power of minus this.</summary>
    const double Decay = 0.7;

    readonly GraphProto _graph = new();
    readonly Dictionary<(int Rows, int Columns), Matrix> _directions = [];
    long _seed = 1000L * seed;

    /// <summary>Of weights and activations.</summary>
    public DataType Type => type;

    public ModelProto Build(string name)
    {
        _graph.Name = name;
        return new() { IrVersion = 8, ProducerName = "make-shaped", Graph = _graph, OpsetImport = { new OperatorSetIdProto { Version = 17 } } };
    }

    /// <param name="shape">Without the batch axis, which is open.</param>
    public string Input(string name, DataType type, params ReadOnlySpan<long> shape)
    {
        _graph.Input.Add(Value(name, type, shape));
        return name;
    }

    /// <summary>An input of numbers that the model computes with.</summary>
    public string Input(string name, params ReadOnlySpan<long> shape) => Input(name, type, shape);

    public void Output(string name, params ReadOnlySpan<long> shape) => _graph.Output.Add(Value(name, type, shape));

    static ValueInfoProto Value(string name, DataType type, ReadOnlySpan<long> shape)
    {
        var tensor = new TypeProto.Types.Tensor { ElemType = (int)type, Shape = new() };
        tensor.Shape.Dim.Add(new TensorShapeProto.Types.Dimension { DimParam = "batch" });
        foreach (long size in shape)
        {
            tensor.Shape.Dim.Add(new TensorShapeProto.Types.Dimension { DimValue = size });
        }
        return new() { Name = name, Type = new() { TensorType = tensor } };
    }

    public string Node(string opType, string name, string[] inputs, Action<NodeProto>? configure = null)
    {
        var node = NodeAttributes.Create(opType, name, inputs, [name]);
        configure?.Invoke(node);
        _graph.Node.Add(node);
        return name;
    }

    public string Constant(string name, params ReadOnlySpan<long> values)
    {
        _graph.Initializer.Add(TensorData.Int64s(name, values));
        return name;
    }

    public string Scalar(string name, float value)
    {
        return Add(name, [value], []);
    }

    string Add(string name, ReadOnlySpan<float> values, ReadOnlySpan<long> dims)
    {
        var tensor = type == DataType.Float16 ? TensorData.Create<Half>(name, type, Halves(values), dims) : TensorData.Floats(name, values, dims);
        tensor.RawData = UnsafeByteOperations.UnsafeWrap(spill.Keep(tensor.RawData.Memory));
        _graph.Initializer.Add(tensor);
        return name;
    }

    static Half[] Halves(ReadOnlySpan<float> values)
    {
        var halves = new Half[values.Length];
        TensorPrimitives.ConvertToHalf(values, halves);
        return halves;
    }

    /// <summary>Independent normal numbers.</summary>
    public string Noise(string name, double scale, params ReadOnlySpan<long> dims)
    {
        int count = 1;
        foreach (long dim in dims)
        {
            count *= (int)dim;
        }
        return Add(name, Array.ConvertAll(Gaussian.Random(1, count, ++_seed).Data, value => (float)(scale * value)), dims);
    }

    string Ones(string name, long count)
    {
        return Add(name, [.. Enumerable.Repeat(1f, (int)count)], [count]);
    }

    /// <summary>
    /// A matrix (rows, columns) with decaying singular values, stored with these dimensions and scaled so that independent numbers of variance 1 become, on
    /// average, numbers of variance 1. Its singular vectors are random; weights of one shape share them in another order and with other signs, as
    /// orthonormal matrices of a large model's size take hours to draw.
    /// </summary>
    /// <param name="outputs">How many numbers a vector is turned into: rows or columns.</param>
    public string Weight(string name, int rows, int columns, int outputs, params ReadOnlySpan<long> dims)
    {
        int rank = Math.Min(rows, columns);
        Matrix left = Directions(rows, rank), right = Directions(columns, rank);
        double energy = 0;
        for (int i = 0; i < rank; i++)
        {
            energy += Math.Pow(i + 1, -2 * Decay);
        }
        var random = new Random((int)++_seed);
        int[] order = [.. Enumerable.Range(0, rank)];
        random.Shuffle(order);
        double[] factors = [.. order.Select(i => (1 - 2 * random.Next(2)) * Math.Pow(i + 1, -Decay) * Math.Sqrt(outputs / energy))];
        var scaled = left.Copy();
        for (int row = 0; row < rows; row++)
        {
            TensorPrimitives.Multiply<double>(scaled.Row(row), factors, scaled.Row(row));
        }
        var weight = algebra.Multiply(scaled, right, transposeRight: true);
        return Add(name, Array.ConvertAll(weight.Data, value => (float)value), dims);
    }

    Matrix Directions(int rows, int rank)
    {
        if (!_directions.TryGetValue((rows, rank), out var directions))
        {
            _directions[(rows, rank)] = directions = algebra.Orthonormalize(Gaussian.Random(rows, rank, ++_seed));
        }
        return directions;
    }

    /// <summary>What is added to scores (tokens, tokens) so that no token sees later ones.</summary>
    public string Causal(string name, int tokens)
    {
        var mask = new float[tokens * tokens];
        for (int i = 0; i < mask.Length; i++)
        {
            mask[i] = i % tokens > i / tokens ? -1e4f : 0;
        }
        return Add(name, mask, [tokens, tokens]);
    }

    /// <summary>x·W + b as exporters write it: a MatMul and an Add.</summary>
    public string Linear(string name, string input, int from, int to)
    {
        string product = Node("MatMul", name + ".matmul", [input, Weight(name + ".weight", from, to, to, from, to)]);
        return Node("Add", name, [Noise(name + ".bias", 0.02, to), product]);
    }

    public string LayerNorm(string name, string input, int width) => Node(
        "LayerNormalization", name, [input, Ones(name + ".weight", width), Noise(name + ".bias", 0.02, width)], node => node.With("axis", -1));

    /// <summary>x/2·(1 + erf(x/√2)), spelled out.</summary>
    public string Gelu(string name, string input)
    {
        string scaled = Node("Div", name + ".div", [input, Scalar(name + ".root", MathF.Sqrt(2))]);
        string erf = Node("Erf", name + ".erf", [scaled]);
        string shifted = Node("Add", name + ".add", [erf, Scalar(name + ".one", 1)]);
        string product = Node("Mul", name + ".mul", [input, shifted]);
        return Node("Mul", name, [product, Scalar(name + ".half", 0.5f)]);
    }

    /// <summary>Multi-head attention over (batch, tokens, width); <paramref name="mask"/> is added to the scores where it is given.</summary>
    public string Attention(string name, string input, int width, int heads, string? mask)
    {
        string shape = Constant(name + ".split", 0, 0, heads, width / heads);
        string Heads(string part, params long[] permutation)
        {
            string linear = Linear($"{name}.{part}", input, width, width);
            string split = Node("Reshape", $"{name}.{part}.split", [linear, shape]);
            return Node("Transpose", $"{name}.{part}.heads", [split], node => node.With("perm", permutation));
        }
        string query = Heads("query", 0, 2, 1, 3), key = Heads("key", 0, 2, 3, 1), value = Heads("value", 0, 2, 1, 3);
        string scores = Node("MatMul", name + ".scores", [query, key]);
        string scaled = Node("Div", name + ".scaled", [scores, Scalar(name + ".root", MathF.Sqrt((float)width / heads))]);
        string masked = mask == null ? scaled : Node("Add", name + ".masked", [scaled, mask]);
        string weights = Node("Softmax", name + ".softmax", [masked], node => node.With("axis", -1));
        string mixed = Node("MatMul", name + ".mixed", [weights, value]);
        string turned = Node("Transpose", name + ".turned", [mixed], node => node.With("perm", [0, 2, 1, 3]));
        string joined = Node("Reshape", name + ".joined", [turned, Constant(name + ".join", 0, 0, width)]);
        return Linear(name + ".output", joined, width, width);
    }

    public string FeedForward(string name, string input, int width, int inner) =>
        Linear(name + ".down", Gelu(name + ".gelu", Linear(name + ".up", input, width, inner)), inner, width);

    public string Sum(string name, string first, string second) => Node("Add", name, [first, second]);
}
