using System.Globalization;
using Google.Protobuf;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Runtime;
using OnnxLowRank.Tests.Samples;

namespace OnnxLowRank.Tests.Onnx;

public class ExternalDataTests
{
    /// <summary>y = x·w1·w2, w1 (24, 32), w2 (32, 16): 3,072 and 2,048 bytes, and a bias of 64.</summary>
    static ModelProto Model()
    {
        var model = new TinyModel();
        model.Input("x", null, 24);
        model.Node("MatMul", ["x", model.Weight("w1", 24, 32)], "y");
        model.Node("Gemm", ["y", model.Weight("w2", 32, 16), model.Weight("b", 16)], "z");
        model.Outputs("z");
        return model.Build().Proto;
    }

    /// <summary>Moves a tensor's bytes out; null for an entry that is not written.</summary>
    static void MoveOut(TensorProto tensor, string? location, long? offset, long? length)
    {
        void Entry(string key, string? value)
        {
            if (value != null)
            {
                tensor.ExternalData.Add(new StringStringEntryProto { Key = key, Value = value });
            }
        }
        Entry("location", location);
        Entry("offset", offset?.ToString(CultureInfo.InvariantCulture));
        Entry("length", length?.ToString(CultureInfo.InvariantCulture));
        tensor.DataLocation = TensorProto.Types.DataLocation.External;
        tensor.ClearRawData();
    }

    [Fact]
    public void Weights_are_read_from_one_file_at_offsets()
    {
        using var folder = new TempFolder();
        var proto = Model();
        var expected = proto.Clone();
        folder.File("weights.bin", [1, 2, 3, .. proto.Graph.Initializer[0].RawData, .. proto.Graph.Initializer[1].RawData]);
        MoveOut(proto.Graph.Initializer[0], "weights.bin", 3, 3072);
        MoveOut(proto.Graph.Initializer[1], "weights.bin", 3075, null);

        var model = OnnxModel.Load(folder.File("m.onnx", proto.ToByteArray()));

        Assert.Equal(expected, model.Proto);
        Assert.Equal((true, 5120L), (model.StoredExternally, model.ExternalBytes));
    }

    [Fact]
    public void A_tensor_without_a_length_need_not_be_the_last_in_its_file()
    {
        using var folder = new TempFolder();
        var proto = Model();
        var expected = proto.Clone();
        folder.File("weights.bin", [.. proto.Graph.Initializer[0].RawData, .. proto.Graph.Initializer[1].RawData]);
        MoveOut(proto.Graph.Initializer[0], "weights.bin", null, null);
        MoveOut(proto.Graph.Initializer[1], "weights.bin", 3072, null);

        Assert.Equal(expected, OnnxModel.Load(folder.File("m.onnx", proto.ToByteArray())).Proto);
    }

    [Fact]
    public void Weights_are_read_from_many_files_wherever_their_tensor_is()
    {
        using var folder = new TempFolder();
        var proto = Model();
        proto.Functions.Add(new FunctionProto { Node = { TinyModel.Call("Constant", [], ["c"], ("value", TensorData.Floats("f", [1, 2], 2))) } });
        proto.Graph.Node[0].Attribute.Add(new AttributeProto { Name = "body", G = new() { Initializer = { TensorData.Floats("s", [3], 1) } } });
        var expected = proto.Clone();
        foreach (var tensor in proto.Tensors())
        {
            folder.File($"parts/{tensor.Name}.bin", tensor.RawData.ToByteArray());
            MoveOut(tensor, $"parts/{tensor.Name}.bin", null, null);
        }

        Assert.Equal(expected, OnnxModel.Load(folder.File("m.onnx", proto.ToByteArray())).Proto);
    }

    [Theory, InlineData(0), InlineData(4), InlineData(3)]
    public void Large_tensors_stay_in_their_file_where_their_elements_are_aligned(int offset)
    {
        const int Elements = 1 << 20;
        using var folder = new TempFolder();
        var model = new TinyModel();
        model.Input("x", null, 1024);
        model.Node("MatMul", ["x", model.Weight("w", 1024, 1024)], "y");
        model.Outputs("y");
        var proto = model.Build().Proto;
        var expected = proto.Clone();
        folder.File("weights.bin", [.. new byte[offset], .. proto.Graph.Initializer[0].RawData]);
        MoveOut(proto.Graph.Initializer[0], "weights.bin", offset, null);
        string path = folder.File("m.onnx", proto.ToByteArray());

        long before = GC.GetAllocatedBytesForCurrentThread();
        var loaded = OnnxModel.Load(path);
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;

        Assert.Equal(expected, loaded.Proto);
        Assert.Equal(offset % 4 != 0, allocated > Elements * sizeof(float));
        File.Delete(Path.Combine(folder.Path, "weights.bin")); // what is mapped stays
        Assert.Equal(expected.Graph.Initializer[0].ToFloats(), loaded.Graph.Initializer[0].ToFloats());
        Assert.Equal(expected, loaded.Copy().Proto);
    }

    [Fact]
    public void What_tensors_share_in_a_file_is_counted_and_saved_once()
    {
        using var folder = new TempFolder();
        var proto = Model();
        var shared = proto.Graph.Initializer[0].RawData;
        folder.File("weights.bin", shared.ToByteArray());
        MoveOut(proto.Graph.Initializer[0], "weights.bin", null, null);
        MoveOut(proto.Graph.Initializer[1], "./weights.bin", 0, 2048);
        var twin = proto.Graph.Initializer[0].Clone();
        twin.Name = "twin";
        proto.Graph.Initializer.Add(twin);
        var model = OnnxModel.Load(folder.File("m.onnx", proto.ToByteArray()));
        string saved = Path.Combine(folder.Path, "saved.onnx");

        model.Save(saved);

        Assert.Equal(3072 + 2048, model.ExternalBytes); // the same place with another length is another one
        Assert.Equal(4096 + 2048, new FileInfo(WeightsOf(saved)).Length);
        Assert.Equal(model.Proto, OnnxModel.Load(saved).Proto);
        Assert.Equal(shared, OnnxModel.Load(saved).Graph.Initializer[^1].RawData);
    }

    /// <summary>The one file beside a saved model.</summary>
    static string WeightsOf(string saved) => Assert.Single(Directory.GetFiles(Path.GetDirectoryName(saved)!, Path.GetFileName(saved) + ".*.data"));

    [Fact]
    public void The_name_of_the_weights_file_tells_its_content()
    {
        using var folder = new TempFolder();
        string Saved(string name, byte last)
        {
            var proto = Model();
            byte[] bytes = proto.Graph.Initializer[0].RawData.ToByteArray();
            bytes[^1] = last;
            folder.File("w.bin", bytes);
            MoveOut(proto.Graph.Initializer[0], "w.bin", null, null);
            string path = Path.Combine(Directory.CreateDirectory(Path.Combine(folder.Path, name)).FullName, "m.onnx");
            OnnxModel.Load(folder.File("in.onnx", proto.ToByteArray())).Save(path);
            return WeightsOf(path);
        }

        string one = Saved("a", 1), same = Saved("b", 1), other = Saved("c", 2);

        Assert.Equal($"m.onnx.{Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(File.ReadAllBytes(one)))[..16]}.data", Path.GetFileName(one));
        Assert.Equal(Path.GetFileName(one), Path.GetFileName(same));
        Assert.NotEqual(Path.GetFileName(one), Path.GetFileName(other));
        Assert.Equal([Path.GetFileName(one)], WeightsFile.NamesOf(Path.Combine(folder.Path, "a", "m.onnx"))!);
        Assert.Empty(WeightsFile.NamesOf(Path.Combine(folder.Path, "in.onnx"))!); // a file of another name is not its own
        File.Move(one, Path.Combine(Path.GetDirectoryName(one)!, "m.onnx.0123456789abcdef.data"));
        File.WriteAllBytes(Path.Combine(folder.Path, "a", "m.onnx"), [1, 2, 3]);
        Assert.Null(WeightsFile.NamesOf(Path.Combine(folder.Path, "a", "m.onnx"))); // damaged: what belongs to it cannot be told
    }

    [Fact]
    public void What_was_external_is_saved_to_one_file_beside_the_model()
    {
        using var folder = new TempFolder();
        var proto = Model();
        var expected = proto.Clone();
        folder.File("a.bin", proto.Graph.Initializer[0].RawData.ToByteArray());
        MoveOut(proto.Graph.Initializer[0], "a.bin", null, null);
        var model = OnnxModel.Load(folder.File("in/../m.onnx", proto.ToByteArray()));
        string saved = Path.Combine(Directory.CreateDirectory(Path.Combine(folder.Path, "out")).FullName, "m.onnx");

        model.Save(saved);

        Assert.Equal(expected, model.Proto);
        Assert.Equal(expected, OnnxModel.Load(saved).Proto);
        var written = ModelProto.Parser.ParseFrom(File.ReadAllBytes(saved)).Graph.Initializer;
        string name = Path.GetFileName(WeightsOf(saved));
        Assert.Equal([$"{name} 0 3072", $"{name} 4096 2048", ""], written.Select(tensor => string.Join(' ', tensor.ExternalData.Select(entry => entry.Value))));
        Assert.Equal(4096 + 2048, new FileInfo(WeightsOf(saved)).Length);
        using var session = ModelSession.Open(saved, Device.Cpu, threads: 1);
    }

    [Fact]
    public void Onnx_Runtime_loads_what_is_saved_wherever_the_tensors_are()
    {
        using var folder = new TempFolder();
        var model = new TinyModel();
        model.Input("x", null, 24);
        model.Weight("w1", 24, 32);
        model.Node("Constant", [], "w2", ("value", TensorData.Floats("", TinyModel.Random([32, 16], 2), 32, 16)));
        model.Node("MatMul", ["x", "w1"], "y");
        model.Node("MatMul", ["y", "w2"], "z");
        GraphProto Branch(string op, int seed) => new()
        {
            Name = op,
            Initializer = { TensorData.Floats($"{op}_w", TinyModel.Random([16, 30], seed), 16, 30) },
            Node = { TinyModel.Call(op, ["z"], [$"{op}_r"]), TinyModel.Call("MatMul", [$"{op}_r", $"{op}_w"], [$"{op}_y"]) },
            Output = { TinyModel.Value($"{op}_y", TensorProto.Types.DataType.Float, null) },
        };
        model.Tensor(TensorData.Create<byte>("condition", TensorProto.Types.DataType.Bool, [1]));
        model.Node("If", ["condition"], "out", ("then_branch", Branch("Relu", 5)), ("else_branch", Branch("Neg", 6)));
        model.Outputs("out");
        var proto = model.Build().Proto;
        folder.File("a.bin", proto.Graph.Initializer[0].RawData.ToByteArray());
        MoveOut(proto.Graph.Initializer[0], "a.bin", null, null);
        var loaded = OnnxModel.Load(folder.File("m.onnx", proto.ToByteArray()));
        string saved = Path.Combine(folder.Path, "saved.onnx");

        loaded.Save(saved);

        using var session = ModelSession.Open(saved, Device.Cpu, threads: 1);
        using var run = new MemorySamples([Feed.Random("x", 4, 24)]).Read([0, 1, 2, 3]);
        using var results = session.Run(run, ["out"]);
        var expected = ModelRuns.Run(OnnxModel.Of(loaded.Proto), new([Feed.Random("x", 4, 24)]), "out")[0];
        Assert.Equal(0, ModelRuns.Distance(expected.Values, results[0].GetTensorDataAsSpan<float>()), 1e-6);
    }

    public static TheoryData<string, string?, long?, long?, string> Refused => new()
    {
        { "leaves by name", "../weights.bin", 0, 3072, "external data '../weights.bin' is outside the model's folder, refused" },
        { "leaves and comes back", "../outside/../secret.bin", 0, 3072, "is outside the model's folder, refused" },
        { "absolute", "/etc/passwd", 0, 3072, "external data '/etc/passwd' is outside the model's folder, refused" },
        { "the folder itself", ".", 0, 3072, "is outside the model's folder, refused" },
        { "empty", "", 0, 3072, "external data '' is outside the model's folder, refused" },
        { "zero character", "we\0ights.bin", 0, 3072, "is outside the model's folder, refused" },
        { "no location", null, 0, 3072, "external data without a location" },
        { "missing", "none.bin", 0, 3072, "external data 'none.bin' cannot be read" },
        { "a folder", "folder", 0, 3072, "external data 'folder' cannot be read" },
        { "offset past the end", "weights.bin", 4000, 3072, "tensor 'w1' needs 3072 bytes; external data 'weights.bin' has 3072 at offset 4000 of 3072" },
        { "too short behind the offset", "weights.bin", 8, null, "tensor 'w1' needs 3072 bytes; external data 'weights.bin' has 3072 at offset 8 of 3072" },
        { "wrong length", "weights.bin", 0, 3068, "tensor 'w1' needs 3072 bytes; external data 'weights.bin' has 3068 at offset 0 of 3072" },
        { "huge offset", "weights.bin", long.MaxValue, 3072, "tensor 'w1' needs 3072 bytes" },
        { "huge length", "weights.bin", 0, long.MaxValue, "tensor 'w1' needs 3072 bytes" },
        { "negative offset", "weights.bin", -4, 3072, "tensor 'w1': external data offset '-4' is not a number" },
        { "a link out of the folder", "link.bin", 0, 3072, "external data 'link.bin' is outside the model's folder, refused" },
        { "a linked folder", "linked/secret.bin", 0, 3072, "external data 'linked/secret.bin' is outside the model's folder, refused" },
        { "a link to itself", "loop.bin", 0, 3072, "external data 'loop.bin' cannot be read" },
    };

    [Theory, MemberData(nameof(Refused))]
    public void Files_that_do_not_hold_the_tensor_are_refused_and_named(string why, string? location, long? offset, long? length, string message)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "links need privileges there");
        using var folder = new TempFolder();
        var proto = Model();
        byte[] bytes = proto.Graph.Initializer[0].RawData.ToByteArray();
        folder.File("model/weights.bin", bytes);
        folder.File("weights.bin", bytes);
        string secret = folder.File("outside/secret.bin", bytes), inside = Path.Combine(folder.Path, "model");
        Directory.CreateDirectory(Path.Combine(inside, "folder"));
        File.CreateSymbolicLink(Path.Combine(inside, "link.bin"), secret);
        Directory.CreateSymbolicLink(Path.Combine(inside, "linked"), Path.GetDirectoryName(secret)!);
        File.CreateSymbolicLink(Path.Combine(inside, "loop.bin"), "loop.bin");
        MoveOut(proto.Graph.Initializer[0], location, offset, length);
        string path = folder.File("model/m.onnx", proto.ToByteArray());

        var e = Assert.Throws<ModelException>(() => OnnxModel.Load(path));

        Assert.True(e.Message.Contains(message, StringComparison.Ordinal) && e.Message.Contains("tensor 'w1'", StringComparison.Ordinal), $"{why}: {e.Message}");
    }

    [Fact]
    public void A_link_inside_the_folder_and_a_linked_model_folder_are_followed()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "links need privileges there");
        using var folder = new TempFolder();
        var proto = Model();
        var expected = proto.Clone();
        folder.File("real/weights.bin", proto.Graph.Initializer[0].RawData.ToByteArray());
        File.CreateSymbolicLink(Path.Combine(folder.Path, "real", "link.bin"), "weights.bin");
        Directory.CreateSymbolicLink(Path.Combine(folder.Path, "alias"), Path.Combine(folder.Path, "real"));
        MoveOut(proto.Graph.Initializer[0], "link.bin", null, null);
        folder.File("real/m.onnx", proto.ToByteArray());

        Assert.Equal(expected, OnnxModel.Load(Path.Combine(folder.Path, "alias", "m.onnx")).Proto);
    }

    [Fact]
    public void Tensors_that_share_their_bytes_are_read_once()
    {
        using var folder = new TempFolder();
        var proto = Model();
        folder.File("weights.bin", proto.Graph.Initializer[0].RawData.ToByteArray());
        for (int i = 1; i < 1000; i++)
        {
            proto.Graph.Initializer.Add(new TensorProto(proto.Graph.Initializer[0]) { Name = $"again{i}" });
        }
        foreach (var tensor in proto.Graph.Initializer.Where(tensor => tensor.RawData.Length == 3072))
        {
            MoveOut(tensor, "weights.bin", 0, 3072);
        }
        string path = folder.File("m.onnx", proto.ToByteArray());

        var model = OnnxModel.Load(path);

        Assert.Equal(3072, model.ExternalBytes);
        Assert.Same(model.Graph.Initializer[0].RawData, model.Graph.Initializer[^1].RawData);
    }

    [Fact]
    public void Tensors_that_overlap_again_and_again_are_refused()
    {
        using var folder = new TempFolder();
        var proto = Model();
        folder.File("weights.bin", new byte[4000]);
        for (int i = 0; i < 10; i++)
        {
            var shifted = new TensorProto(proto.Graph.Initializer[1]) { Name = $"shifted{i}" };
            MoveOut(shifted, "weights.bin", i, 2048);
            proto.Graph.Initializer.Add(shifted);
        }
        string path = folder.File("m.onnx", proto.ToByteArray());

        string message = Assert.Throws<ModelException>(() => OnnxModel.Load(path)).Message;
        Assert.Contains("external data 'weights.bin' has 4000 bytes, and its tensors overlap to more than 4 times that", message, StringComparison.Ordinal);
    }

    [Fact]
    public void Defaults_of_functions_attributes_are_no_way_out_of_the_folder()
    {
        using var folder = new TempFolder();
        var proto = Model();
        var tensor = TensorData.Floats("inside", [1, 2], 2);
        MoveOut(tensor, "../secret.bin", 0, 8);
        proto.Functions.Add(new FunctionProto { Name = "f", AttributeProto = { new AttributeProto { Name = "a", T = tensor } } });
        string path = folder.File("m.onnx", proto.ToByteArray());

        Assert.Contains("tensor 'inside': external data '../secret.bin' is outside", Assert.Throws<ModelException>(() => OnnxModel.Load(path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_tensor_that_announces_more_than_memory_is_refused_before_it_is_allocated()
    {
        using var folder = new TempFolder();
        var proto = Model();
        folder.File("weights.bin", [1]);
        proto.Graph.Initializer[0].Dims[0] = 1L << 40;
        MoveOut(proto.Graph.Initializer[0], "weights.bin", 0, null);

        Assert.Throws<ModelException>(() => OnnxModel.Load(folder.File("m.onnx", proto.ToByteArray())));
    }
}
