using System.Runtime.InteropServices;
using Google.Protobuf;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using DataType = OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType;

namespace OnnxLowRank.Tests.Fuzzing;

/// <summary>
/// Random models over one input x (N, Width) that ONNX Runtime can run: chains of what the program looks into, weights in every field
/// and behind views, subgraphs, functions, sparse initializers.
/// </summary>
sealed class GraphSeeds
{
    const int LargestSide = 24;

    readonly Random _random;
    readonly TinyModel _tiny = new(opset: 17, ir: 8);
    readonly ModelProto _model;
    string _value;
    int _width = FuzzTarget.Width;
    int _names;

    GraphSeeds(Random random)
    {
        _random = random;
        _value = _tiny.Input("x", null, _width);
        _model = _tiny.Build(listInitializers: false).Proto;
    }

    public static ModelProto Make(Random random)
    {
        var seeds = new GraphSeeds(random);
        for (int nodes = random.Next(2, 9); nodes > 0; nodes--)
        {
            seeds.AddOne();
        }
        seeds._tiny.Outputs(seeds._value);
        return seeds._model;
    }

    void AddOne()
    {
        switch (_random.Next(11))
        {
            case 0 or 1:
                int columns = Side();
                Then("MatMul", [_value, Weight(_width, columns)], columns);
                break;
            case 2:
                Gemm();
                break;
            case 3:
                Then("Add", [_value, Weight(_width)], _width);
                break;
            case 4:
                Then(_random.Next(2) == 0 ? "Relu" : "Identity", [_value], _width);
                break;
            case 5:
                Then("BatchNormalization", [_value, Weight(_width), Weight(_width), Weight(_width), Positive(_width)], _width);
                break;
            case 6:
                Conv();
                break;
            case 7:
                If();
                break;
            case 8:
                Function();
                break;
            case 9:
                int rows = Side();
                Then("MatMul", [_value, Transposed(_width, rows)], rows);
                Add(Name(), "Gather", [Weight(rows, _width), _tiny.Ints(Name(), 0, rows - 1)]);
                break;
            default:
                Sparse();
                break;
        }
    }

    int Side() => _random.Next(1, LargestSide);

    string Name() => $"v{_names++}";

    string Add(string output, string op, string[] inputs, params (string Name, object Value)[] attributes) => _tiny.Node(op, inputs, output, attributes);

    void Then(string op, string[] inputs, int width, params (string Name, object Value)[] attributes) =>
        (_value, _width) = (Add(Name(), op, inputs, attributes), width);

    void Gemm()
    {
        int columns = Side();
        bool isTransposed = _random.Next(2) == 0;
        string weight = isTransposed ? Weight(columns, _width) : Weight(_width, columns);
        string[] bias = _random.Next(3) switch { 0 => [], 1 => [Weight(columns)], _ => [Weight(1, columns)] };
        Then("Gemm", [_value, weight, .. bias], columns, ("transB", isTransposed ? 1 : 0), ("alpha", 0.5f), ("beta", 2f));
    }

    /// <summary>Each row as a row of pixels of one or more channels.</summary>
    void Conv()
    {
        int channels = _width % 3 == 0 ? 3 : 1, kernels = channels * _random.Next(1, 4), groups = _random.Next(2) == 0 ? channels : 1;
        string pixels = Add(Name(), "Reshape", [_value, _tiny.Ints(Name(), 0, channels, -1)]);
        string[] bias = _random.Next(2) == 0 ? [Weight(kernels)] : [];
        string convolved = Add(Name(), "Conv", [pixels, Weight(kernels, channels / groups, 3), .. bias], ("group", groups), ("pads", new long[] { 1, 1 }), ("kernel_shape", new long[] { 3 }));
        _width = _width / channels * kernels;
        _value = Add(Name(), "Reshape", [convolved, _tiny.Ints(Name(), -1, _width)]);
    }

    void If()
    {
        string condition = _tiny.Tensor(TensorData.Create<byte>(Name(), DataType.Bool, [1]));
        GraphProto Branch(string op)
        {
            string weight = Name(), product = Name(), output = Name();
            return new()
            {
                Name = op,
                Initializer = { Stored(weight, _width, _width) },
                Node = { TinyModel.Call("MatMul", [_value, weight], [product]), TinyModel.Call(op, [product], [output]) },
                Output = { TinyModel.Value(output, DataType.Float, null) },
            };
        }
        Then("If", [condition], _width, ("then_branch", Branch("Relu")), ("else_branch", Branch("Neg")));
    }

    void Function()
    {
        string name = $"f{_names++}";
        _model.Functions.Add(new FunctionProto
        {
            Name = name,
            Domain = "local",
            Input = { "a" },
            Output = { "c" },
            OpsetImport = { new OperatorSetIdProto { Version = 17 } },
            Node = { TinyModel.Call("Constant", [], ["b"], ("value", TensorData.Scalar("", 2))), TinyModel.Call("Mul", ["a", "b"], ["c"]) },
        });
        if (!_model.OpsetImport.Any(import => import.Domain == "local"))
        {
            _model.OpsetImport.Add(new OperatorSetIdProto { Domain = "local", Version = 1 });
        }
        Then(name, [_value], _width);
        _tiny.Graph.Node[^1].Domain = "local";
    }

    void Sparse()
    {
        string name = Name();
        _tiny.Graph.SparseInitializer.Add(new SparseTensorProto
        {
            Values = TensorData.Floats(name, [1, 2], 2),
            Indices = new TensorProto { Name = name + "_at", DataType = (int)DataType.Int64, Dims = { 2 }, Int64Data = { 0, _width * _width - 1 } },
            Dims = { _width, _width },
        });
        if (_width > 1)
        {
            Then("MatMul", [_value, name], _width);
        }
    }

    string Positive(int count)
    {
        var values = Enumerable.Range(0, count).Select(_ => _random.NextSingle() + 0.1f).ToArray();
        return _tiny.Floats(Name(), values, count);
    }

    /// <summary>An initializer, a Constant node, or one of these behind a view.</summary>
    string Weight(params int[] dims)
    {
        string name = Name();
        if (_random.Next(4) == 0)
        {
            Add(name, "Constant", [], ("value", Stored("", dims)));
        }
        else
        {
            _tiny.Tensor(Stored(name, dims));
        }
        return _random.Next(6) switch
        {
            0 => Add(Name(), "Identity", [name]),
            1 => Add(Name(), "Reshape", [name, _tiny.Ints(Name(), [.. dims.Select((dim, i) => i == 0 ? -1L : dim)])]),
            _ => name,
        };
    }

    string Transposed(int rows, int columns)
    {
        string doubles = _tiny.Tensor(TensorData.Create<double>(Name(), DataType.Double, [.. Values(rows * columns).Select(value => (double)value)], columns, rows));
        string cast = Add(Name(), "Cast", [doubles], ("to", (int)DataType.Float));
        return Add(Name(), "Transpose", [cast], ("perm", new long[] { 1, 0 }));
    }

    float[] Values(int count) => [.. Enumerable.Range(0, count).Select(_ => _random.NextSingle() - 0.5f)];

    TensorProto Stored(string name, params int[] dims)
    {
        float[] values = Values(dims.Aggregate(1, (product, dim) => product * dim));
        var tensor = new TensorProto { Name = name, DataType = (int)DataType.Float, Dims = { dims.Select(dim => (long)dim) } };
        if (_random.Next(3) == 0)
        {
            tensor.FloatData.AddRange(values);
        }
        else
        {
            tensor.RawData = ByteString.CopyFrom(MemoryMarshal.AsBytes<float>(values));
        }
        return tensor;
    }
}
