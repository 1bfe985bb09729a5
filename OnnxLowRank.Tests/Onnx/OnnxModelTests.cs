using System.Runtime.InteropServices;
using Google.Protobuf;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Storage;
using OnnxLowRank.Tests.Samples;
using static OnnxLowRank.Onnx.Proto.TensorProto.Types;

namespace OnnxLowRank.Tests.Onnx;

public class OnnxModelTests
{
    public static TheoryData<string> ZooModels =>
        [.. Zoo.Folder is { } zoo ? Directory.GetFiles(zoo, "*.onnx", SearchOption.AllDirectories).Select(file => Path.GetRelativePath(zoo, file)).Order() : Enumerable.Repeat("none", 1)];

    [Theory, MemberData(nameof(ZooModels))]
    public void Real_models_are_saved_as_they_were_loaded(string file)
    {
        Assert.SkipWhen(Zoo.Folder == null, Zoo.WhyNot);
        using var folder = new TempFolder();
        string source = Path.Combine(Zoo.Folder!, file), saved = Path.Combine(folder.Path, "saved.onnx");

        OnnxModel.Load(source).Save(saved);

        Assert.Equal(ModelProto.Parser.ParseFrom(File.ReadAllBytes(source)), ModelProto.Parser.ParseFrom(File.ReadAllBytes(saved)));
    }

    [Fact]
    public void Models_of_every_operator_are_saved_as_they_were_loaded()
    {
        Assert.SkipWhen(BackendSuite.Models.Length == 0, BackendSuite.WhyNot);
        using var folder = new TempFolder();
        string saved = Path.Combine(folder.Path, "saved.onnx");
        foreach (string source in BackendSuite.Models)
        {
            OnnxModel.Load(source).Save(saved);

            Assert.True(ModelProto.Parser.ParseFrom(File.ReadAllBytes(source)).Equals(ModelProto.Parser.ParseFrom(File.ReadAllBytes(saved))), source);
            File.Delete(saved);
        }
    }

    static StringStringEntryProto Entry(string key, string value) => new() { Key = key, Value = value };

    /// <summary>Something in every part of the format that we do not touch.</summary>
    static ModelProto Everything()
    {
        var model = new TinyModel();
        model.Input("x", null, 24);
        model.Node("MatMul", ["x", model.Weight("w", 24, 16)], "y");
        model.Outputs("y");
        var proto = model.Build().Proto;
        proto.ProducerName = "tests é";
        proto.DocString = "about";
        proto.ModelVersion = 7;
        proto.OpsetImport.Add(new OperatorSetIdProto { Domain = "org.example", Version = 3 });
        proto.MetadataProps.Add(Entry("clé", "valeur"));
        proto.Functions.Add(new FunctionProto
        {
            Name = "f",
            Domain = "org.example",
            Input = { "a" },
            Output = { "b" },
            Node = { TinyModel.Call("Constant", [], ["b"], ("value", TensorData.Scalar("in function", 1))) },
            AttributeProto = { new AttributeProto { Name = "alpha", F = 2 } },
            OpsetImport = { new OperatorSetIdProto { Version = 17 } },
            DocString = "a function",
        });
        proto.TrainingInfo.Add(new TrainingInfoProto
        {
            Initialization = new() { Name = "init", Initializer = { TensorData.Scalar("in training", 2) } },
            Algorithm = new() { Name = "algorithm", DocString = "descent" },
            UpdateBinding = { Entry("w", "w_new") },
        });
        var graph = proto.Graph;
        graph.DocString = "about the graph";
        graph.MetadataProps.Add(Entry("key", "value"));
        graph.ValueInfo.Add(TinyModel.Value("y", DataType.Float, null, 16));
        graph.QuantizationAnnotation.Add(new TensorAnnotation { TensorName = "y", QuantParameterTensorNames = { Entry("SCALE_TENSOR", "s") } });
        graph.SparseInitializer.Add(new SparseTensorProto { Values = TensorData.Floats("sparse", [1, 2], 2), Indices = TensorData.Int64s("sparse_indices", [3, 5]), Dims = { 10 } });
        graph.Initializer.Add(new TensorProto { Name = "halves", DataType = (int)DataType.Float16, Dims = { 2 }, Int32Data = { 0x3C00, 0x4000 }, DocString = "typed field" });
        graph.Initializer.Add(new TensorProto { Name = "strings", DataType = (int)DataType.String, Dims = { 1 }, StringData = { ByteString.CopyFromUtf8("text") } });
        var node = graph.Node[0];
        node.DocString = "about the node";
        node.Overload = "variant";
        node.MetadataProps.Add(Entry("pkg", "scope"));
        node.DeviceConfigurations.Add(new NodeDeviceConfigurationProto { ConfigurationId = "two", PipelineStage = 1 });
        node.Attribute.Add(new AttributeProto { Name = "reference", RefAttrName = "alpha", DocString = "attribute" });
        node.Attribute.Add(new AttributeProto { Name = "type", Tp = new() { SequenceType = new() { ElemType = new() { MapType = new() { KeyType = 7, ValueType = new() { OptionalType = new() } } } } } });
        node.Attribute.Add(new AttributeProto { Name = "graph", G = new() { Name = "sub", Initializer = { TensorData.Scalar("in subgraph", 3) }, Node = { TinyModel.Call("Relu", ["x"], ["inner"]) } } });
        node.Attribute.Add(new AttributeProto { Name = "sparse", SparseTensor = new() { Values = TensorData.Scalar("sv", 1), Indices = TensorData.Int64s("si", [0]), Dims = { 4 } } });
        return proto;
    }

    /// <summary>A field that no version of the format has, behind the message's own.</summary>
    static byte[] WithUnknown(byte[] message) => [.. message, 0xFA, 0x3F, 2, 7, 7]; // field 1023, two bytes

    [Fact]
    public void Every_part_of_a_model_survives()
    {
        using var folder = new TempFolder();
        var proto = Everything();
        // Unknown fields at the top, in a node, in a tensor and in an attribute's subgraph.
        proto = ModelProto.Parser.ParseFrom(WithUnknown(proto.ToByteArray()));
        var graph = proto.Graph;
        graph.Node[0] = NodeProto.Parser.ParseFrom(WithUnknown(graph.Node[0].ToByteArray()));
        graph.Initializer[0] = TensorProto.Parser.ParseFrom(WithUnknown(graph.Initializer[0].ToByteArray()));
        var attribute = graph.Node[0].Attribute.Single(attribute => attribute.Name == "graph");
        attribute.G = GraphProto.Parser.ParseFrom(WithUnknown(attribute.G.ToByteArray()));
        string source = folder.File("in.onnx", proto.ToByteArray()), saved = Path.Combine(folder.Path, "out.onnx");

        OnnxModel.Load(source).Save(saved);
        OnnxModel.Load(source).Copy().Save(saved + "2");

        // Same bytes, as this was written by the same library in the first place; that includes the unknown fields.
        Assert.Equal(File.ReadAllBytes(source), File.ReadAllBytes(saved));
        Assert.Equal(File.ReadAllBytes(source), File.ReadAllBytes(saved + "2"));
        Assert.Equal(4, Occurrences(File.ReadAllBytes(saved), [0xFA, 0x3F, 2, 7, 7]));
    }

    static int Occurrences(ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> part)
    {
        int count = 0;
        for (int at = bytes.IndexOf(part); at >= 0; at = bytes.IndexOf(part))
        {
            count++;
            bytes = bytes[(at + part.Length)..];
        }
        return count;
    }

    [Fact]
    public void A_copy_is_independent_of_the_original()
    {
        var model = OnnxModel.Of(Everything());
        byte[] before = model.ToBytes();

        var copy = model.Copy();
        copy.Graph.Node[0].Name = "changed";
        copy.Graph.Initializer.RemoveAt(0);

        Assert.Equal(before, model.ToBytes());
    }

    [Fact]
    public void The_opset_is_that_of_the_default_domain()
    {
        Assert.Equal(17, OnnxModel.Of(Everything()).Opset);
        Assert.Equal(9, OnnxModel.Of(new ModelProto { OpsetImport = { new OperatorSetIdProto { Domain = "com.microsoft", Version = 1 }, new OperatorSetIdProto { Domain = "ai.onnx", Version = 9 } } }).Opset);
    }

    [Fact]
    public void Initializers_of_old_models_are_inputs_and_that_is_valid()
    {
        using var folder = new TempFolder();
        var model = new TinyModel(opset: 8, ir: 3);
        model.Input("x", null, 24);
        model.Node("MatMul", ["x", model.Weight("w", 24, 16)], "y");
        model.Outputs("y");
        var proto = model.Build().Proto;
        string path = folder.File("old.onnx", proto.ToByteArray());

        Assert.Equal(proto, OnnxModel.Load(path).Proto);
    }

    /// <summary>A megabyte is worth a file, less is not.</summary>
    [Fact]
    public void Weights_of_a_model_in_one_file_can_wait_on_disk()
    {
        using var folder = new TempFolder();
        var tiny = new TinyModel();
        tiny.Input("x", null, 512);
        tiny.Node("MatMul", ["x", tiny.Weight("large", 512, 1024)], "a");
        tiny.Node("MatMul", ["a", tiny.Weight("small", 1024, 2)], "y");
        tiny.Outputs("y");
        var expected = tiny.Build().Proto;
        string path = Path.Combine(folder.Path, "model.onnx");
        File.WriteAllBytes(path, expected.ToByteArray());

        var model = OnnxModel.Load(path).KeepingIn(Spill.Beside(path));

        bool IsInMemory(string name) => MemoryMarshal.TryGetArray(model.Graph.Initializer.Single(tensor => tensor.Name == name).RawData.Memory, out _);
        Assert.Equal((false, true), (IsInMemory("large"), IsInMemory("small")));
        Assert.Equal(expected, model.Proto);
        Assert.Equal([path], Directory.EnumerateFileSystemEntries(folder.Path)); // nobody sees the other one
    }

    [Fact]
    public void A_destination_that_exists_is_not_overwritten()
    {
        using var folder = new TempFolder();
        string path = folder.File("out.onnx", [1]);

        Assert.ThrowsAny<IOException>(() => OnnxModel.Of(Everything()).Save(path));
    }

    static string LoadError(string path) => Assert.Throws<ModelException>(() => OnnxModel.Load(path)).Message;

    [Fact]
    public void A_file_cut_short_anywhere_is_refused()
    {
        using var folder = new TempFolder();
        byte[] whole = Everything().ToByteArray();
        foreach (int length in Enumerable.Range(0, 60).Select(i => whole.Length * i / 60))
        {
            string path = folder.File("cut.onnx", whole[..length]);

            Assert.StartsWith(path + ": ", LoadError(path), StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Bytes_of_something_else_are_refused()
    {
        using var folder = new TempFolder();
        for (int seed = 0; seed < 200; seed++)
        {
            byte[] bytes = new byte[seed * 7];
            new Random(seed).NextBytes(bytes);
            LoadError(folder.File("random.onnx", bytes));
        }
        Assert.Contains("not an ONNX model", LoadError(folder.File("text.onnx", "PK\u0003\u0004 this is a zip file, or text"u8.ToArray())), StringComparison.Ordinal);
        Assert.EndsWith("it is empty, or no regular file", LoadError(folder.File("empty.onnx", [])), StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_changed_anywhere_is_loaded_or_refused_but_nothing_else()
    {
        using var folder = new TempFolder();
        byte[] whole = Everything().ToByteArray();
        var random = new Random(1);
        for (int i = 0; i < 700; i++)
        {
            byte[] changed = (byte[])whole.Clone();
            changed[random.Next(changed.Length)] = (byte)random.Next(256);
            string path = folder.File("changed.onnx", changed);
            try
            {
                OnnxModel.Load(path);
            }
            catch (ModelException)
            {
            }
        }
    }

    [Fact]
    public void A_message_nested_without_end_is_refused()
    {
        using var folder = new TempFolder();
        var graph = new GraphProto { Name = "innermost" };
        for (int i = 0; i < 40; i++)
        {
            graph = new() { Node = { new NodeProto { Attribute = { new AttributeProto { G = graph } } } } };
        }

        Assert.Contains("not an ONNX model", LoadError(folder.File("deep.onnx", new ModelProto { Graph = graph }.ToByteArray())), StringComparison.Ordinal);
    }

    [Fact]
    public void Unknown_groups_nested_without_end_are_refused()
    {
        using var folder = new TempFolder();
        byte[] groups = [.. Enumerable.Range(0, 2_000_000).Select(i => (byte)(i % 2 == 0 ? 0xFB : 0x3F))]; // starts of group 1023, a million

        Assert.Contains("not an ONNX model", LoadError(folder.File("deep.onnx", groups)), StringComparison.Ordinal);
        Assert.Contains("not an ONNX model", LoadError(folder.File("deep.onnx", [0x3A, 0x84, 0x89, 0x7A, .. groups])), StringComparison.Ordinal); // in the graph
    }

    [Fact]
    public void A_length_without_the_bytes_allocates_nothing()
    {
        using var folder = new TempFolder();
        foreach (byte field in new byte[] { 0x3A, 0x12 }) // graph, producer_name
        {
            string path = folder.File("lie.onnx", [field, 0xFF, 0xFF, 0xFF, 0xFF, 7, 1, 2, 3]);
            long before = GC.GetAllocatedBytesForCurrentThread();

            Assert.Contains("not an ONNX model", LoadError(path), StringComparison.Ordinal);
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1 << 20);
        }
    }

    [Fact]
    public void Folders_and_missing_files_are_refused()
    {
        using var folder = new TempFolder();

        Assert.Contains("cannot be read", LoadError(folder.Path), StringComparison.Ordinal);
        Assert.Contains("cannot be read", LoadError(Path.Combine(folder.Path, "none.onnx")), StringComparison.Ordinal);
        Assert.Contains("cannot be read", LoadError(""), StringComparison.Ordinal);
    }

    [Fact]
    public void Tensors_are_checked_wherever_they_are()
    {
        using var folder = new TempFolder();
        Action<ModelProto>[] breaks =
        [
            proto => proto.Graph.Initializer[0].Dims[0] = 23,
            proto => proto.Graph.SparseInitializer[0].Values.Dims[0] = 3,
            proto => proto.Functions[0].Node[0].Attribute[0].T.Dims.Add(2),
            proto => proto.TrainingInfo[0].Initialization.Initializer[0].Dims.Add(2),
            proto => proto.Graph.Node[0].Attribute.Single(a => a.Name == "graph").G.Initializer[0].Dims.Add(2),
            proto => proto.Graph.Node[0].Attribute.Single(a => a.Name == "sparse").SparseTensor.Indices.Dims[0] = 2,
        ];
        string[] names = ["w", "sparse", "in function", "in training", "in subgraph", "si"];

        for (int i = 0; i < breaks.Length; i++)
        {
            var proto = Everything();
            breaks[i](proto);
            Assert.Contains($"tensor '{names[i]}' is ", LoadError(folder.File("bad.onnx", proto.ToByteArray())), StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Cycles_and_undefined_names_are_refused_with_the_file()
    {
        using var folder = new TempFolder();
        var proto = Everything();
        proto.Graph.Node.Add(TinyModel.Call("Add", ["b", "x"], ["b"]));
        string path = folder.File("cyclic.onnx", proto.ToByteArray());

        Assert.Equal($"{path}: nodes form a cycle through 'b_node' (Add) and 'b'", LoadError(path));
    }
}
