using System.Buffers;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Runtime;

/// <summary>
/// The large weights of a model, handed to every run as inputs from where they lie. A session that owned them would copy them twice:
/// once to read them, once packed. Opening a session takes no longer for a large model then, and any number of sessions share one copy.
/// </summary>
/// <remarks>A kernel that gets its weight as an input packs it anew in every run, so what is timed must own its weights.</remarks>
sealed class BorrowedWeights : IDisposable
{
    /// <summary>Bytes from which on a copy costs more than what a kernel gains from a packed weight.</summary>
    const int SmallestBorrowed = 1 << 20;

    /// <summary>Weights of other types than float32 are cast anew in every run when they are borrowed; only models that may be too large for one message do that.</summary>
    const long LargestOwned = 1 << 30;

    readonly List<MemoryHandle> _pins = [];
    readonly List<OrtValue> _values = [];
    readonly List<string> _names = [];

    BorrowedWeights()
    {
    }

    public IReadOnlyList<string> Names => _names;

    public IReadOnlyList<OrtValue> Values => _values;

    /// <summary>Takes the large weights out of a model, which then expects them as inputs.</summary>
    /// <param name="model">Not changed; its weights stay in use until this is disposed.</param>
    /// <param name="rest">The model that expects them.</param>
    public static BorrowedWeights Of(OnnxModel model, out OnnxModel rest)
    {
        rest = model.Copy();
        var graph = rest.Graph;
        var index = new GraphIndex(graph);
        var weights = new BorrowedWeights();
        bool isLarge = graph.Initializer.Sum(tensor => (long)tensor.RawData.Length) > LargestOwned;
        foreach (var tensor in graph.Initializer.Where(tensor => MayBeBorrowed(tensor, index, isLarge)).ToList())
        {
            weights.Add(tensor);
            graph.Initializer.Remove(tensor);
            graph.Input.Add(Input(tensor));
        }
        return weights;
    }

    /// <summary>Only what kernels read as it is: ONNX Runtime rearranges a Conv's weights when it loads them, and looks into shapes and the like.</summary>
    static bool MayBeBorrowed(TensorProto tensor, GraphIndex index, bool isLarge) =>
        (tensor.DataType == (int)TensorProto.Types.DataType.Float || (isLarge && TensorType.IsReal((TensorProto.Types.DataType)tensor.DataType))) && tensor.HasRawData && tensor.RawData.Length >= SmallestBorrowed
        && !index.IsInput(tensor.Name) && !index.IsOutput(tensor.Name)
        && index.Readers(tensor.Name).All(reader => reader.Is("MatMul") || reader.Is("Gather") || (reader.Is("Gemm") && reader.InputOrEmpty(2) != tensor.Name));

    static ValueInfoProto Input(TensorProto tensor)
    {
        var shape = new TensorShapeProto();
        shape.Dim.AddRange(tensor.Dims.Select(dim => new TensorShapeProto.Types.Dimension { DimValue = dim }));
        return new() { Name = tensor.Name, Type = new() { TensorType = new() { ElemType = tensor.DataType, Shape = shape } } };
    }

    unsafe void Add(TensorProto tensor)
    {
        var pin = tensor.RawData.Memory.Pin();
        _pins.Add(pin);
        _names.Add(tensor.Name);
        _values.Add(OrtValue.CreateTensorValueWithData(
            OrtMemoryInfo.DefaultInstance, (TensorElementType)tensor.DataType, [.. tensor.Dims], (nint)pin.Pointer, tensor.RawData.Length));
    }

    public void Dispose()
    {
        _values.ForEach(value => value.Dispose());
        _pins.ForEach(pin => pin.Dispose());
        _pins.Clear(); // a pin may be let go only once
    }
}
