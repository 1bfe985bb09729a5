using Google.Protobuf;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Storage;

namespace OnnxLowRank.Onnx;

/// <summary>
/// A model in memory. The protobuf is the working structure: what we do not understand, unknown fields included, is written
/// back as it was read.
/// </summary>
sealed class OnnxModel
{
    readonly IReadOnlyDictionary<string, long> _external;

    OnnxModel(ModelProto proto, IReadOnlyDictionary<string, long> external)
    {
        Proto = proto;
        _external = external;
    }

    public ModelProto Proto { get; }

    public GraphProto Graph => Proto.Graph;

    /// <summary>Whether weights came from files of their own; they are then written that way too.</summary>
    public bool StoredExternally => ExternalBytes > 0;

    /// <summary>Bytes of the tensors that came from files of their own.</summary>
    public long ExternalBytes => _external.Values.Sum();

    /// <summary>Real paths of the files of their own that weights came from.</summary>
    public IEnumerable<string> ExternalFiles => _external.Keys;

    /// <summary>Where weights are kept.</summary>
    public Spill Spill { get; private init; } = Spill.None;

    /// <summary>Bytes of all tensors, as stored; what tensors share counts each time.</summary>
    public long WeightBytes => Proto.Tensors().Sum(tensor => tensor.StoredBytes());

    /// <summary>Version of the default operator set the graph is written in.</summary>
    public int Opset => (int)(Proto.OpsetImport.FirstOrDefault(import => import.Domain is "" or "ai.onnx")?.Version ?? 1);

    /// <summary>Wraps a model that was built in memory.</summary>
    public static OnnxModel Of(ModelProto proto) => new(proto, new Dictionary<string, long>());

    /// <summary>Reads and checks a model: every tensor holds what its dimensions announce, every node's inputs exist, no cycles.</summary>
    /// <exception cref="ModelException">The file cannot be read, is not an ONNX model or is not valid.</exception>
    public static OnnxModel Load(string path)
    {
        ModelProto proto;
        try
        {
            using var file = RegularFile.Open(path);
            proto = ModelProto.Parser.ParseFrom(file);
        }
        catch (InvalidProtocolBufferException e)
        {
            throw new ModelException($"{path}: not an ONNX model, or cut short: {e.Message}", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new ModelException($"{path}: cannot be read: {e.Message}", e);
        }

        try
        {
            if (proto.Graph == null || proto.Graph.Node.Count == 0 || proto.Graph.Output.Count == 0)
            {
                throw new ModelException("not an ONNX model: it has no graph with nodes and outputs");
            }
            var external = ExternalData.Load(proto, Path.GetDirectoryName(Path.GetFullPath(path))!);
            foreach (var tensor in proto.Tensors())
            {
                tensor.Validate();
            }
            GraphOrder.Check(proto.Graph);
            NodeArity.Check(proto.Graph);
            FunctionCalls.Check(proto);
            return new(proto, external);
        }
        catch (ModelException e)
        {
            throw new ModelException($"{path}: {e.Message}", e);
        }
    }

    /// <summary>A copy to change; tensors' raw bytes are shared, as they are immutable.</summary>
    public OnnxModel Copy() => new(Proto.Clone(), _external) { Spill = Spill };

    /// <summary>The same model with its weights, and what is added to its copies, there. This one's weights move along.</summary>
    /// <exception cref="IOException">The disk is full.</exception>
    public OnnxModel KeepingIn(Spill spill)
    {
        foreach (var tensor in Proto.Tensors())
        {
            var kept = spill.Keep(tensor.RawData.Memory);
            if (!kept.Equals(tensor.RawData.Memory)) // tensors that share bytes go on sharing them
            {
                tensor.RawData = UnsafeByteOperations.UnsafeWrap(kept);
            }
        }
        return new(Proto, _external) { Spill = spill };
    }

    /// <summary>The model as one message, as a runtime takes it.</summary>
    /// <exception cref="ModelException">It is larger than the 2 GiB that the format allows.</exception>
    public byte[] ToBytes()
    {
        RequireOneMessage(Proto);
        return Proto.ToByteArray();
    }

    /// <summary>Writes the model, and its <see cref="WeightsFile"/> beside it when weights are stored externally. Not atomic: see <see cref="Storage.StagedOutput"/>.</summary>
    /// <exception cref="IOException">The disk is full, or a file is there already; the message names the file.</exception>
    public void Save(string path)
    {
        var proto = Proto;
        try
        {
            if (StoredExternally)
            {
                proto = Proto.Clone();
                ExternalData.Save(proto, path);
            }
            RequireOneMessage(proto);
            using var file = new FileStream(path, FileMode.CreateNew, FileAccess.Write);
            proto.WriteTo(file);
            file.Flush(flushToDisk: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"{Path.GetFileName(path)}: cannot be written: {e.Message}", e);
        }
    }

    static void RequireOneMessage(ModelProto proto)
    {
        // Payloads first: CalculateSize itself counts in 32 bits and would wrap around.
        long payload = proto.Tensors().Sum(tensor => (long)tensor.RawData.Length + 4L * tensor.FloatData.Count + 8L * tensor.DoubleData.Count);
        if (payload > int.MaxValue - (64 << 20))
        {
            throw new ModelException($"the model's weights take {payload} bytes; one ONNX message holds at most 2 GiB: store them as external data");
        }
    }
}
