using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using DataType = OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType;

namespace MakeShaped;

/// <summary>A graph that grows node by node; every value has the name of the node that makes it.</summary>
sealed class Sketch(ILinearAlgebra algebra, int seed)
{
    /// <summary>Singular value i of every weight is (i + 1) to the power of minus this.</summary>
    const double Decay = 0.7;

    readonly GraphProto _graph = new();
    long _seed = 1000L * seed;

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

    public void Output(string name, params ReadOnlySpan<long> shape) => _graph.Output.Add(Value(name, DataType.Float, shape));

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
        _graph.Initializer.Add(TensorData.Floats(name, [value]));
        return name;
    }

    /// <summary>Independent normal numbers.</summary>
    public string Noise(string name, double scale, params ReadOnlySpan<long> dims)
    {
        int count = 1;
        foreach (long dim in dims)
        {
            count *= (int)dim;
        }
        _graph.Initializer.Add(TensorData.Floats(name, Array.ConvertAll(Gaussian.Random(1, count, ++_seed).Data, value => (float)(scale * value)), dims));
        return name;
    }

    string Ones(string name, long count)
    {
        _graph.Initializer.Add(TensorData.Floats(name, [.. Enumerable.Repeat(1f, (int)count)], count));
        return name;
    }

    /// <summary>
    /// A matrix (rows, columns) with random singular vectors and decaying singular values, stored with these dimensions and scaled so
    /// that independent numbers of variance 1 become, on average, numbers of variance 1.
    /// </summary>
    /// <param name="outputs">How many numbers a vector is turned into: rows or columns.</param>
    public string Weight(string name, int rows, int columns, int outputs, params ReadOnlySpan<long> dims)
    {
        int rank = Math.Min(rows, columns);
        var left = algebra.Orthonormalize(Gaussian.Random(rows, rank, ++_seed));
        var right = algebra.Orthonormalize(Gaussian.Random(columns, rank, ++_seed));
        double energy = 0;
        for (int i = 0; i < rank; i++)
        {
            energy += Math.Pow(i + 1, -2 * Decay);
        }
        for (int row = 0; row < rows; row++)
        {
            for (int i = 0; i < rank; i++)
            {
                left[row, i] *= Math.Pow(i + 1, -Decay) * Math.Sqrt(outputs / energy);
            }
        }
        var weight = algebra.Multiply(left, right, transposeRight: true);
        _graph.Initializer.Add(TensorData.Floats(name, Array.ConvertAll(weight.Data, value => (float)value), dims));
        return name;
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
