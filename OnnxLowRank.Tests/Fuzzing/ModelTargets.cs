using System.Globalization;
using Google.Protobuf;
using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Tests.Fuzzing;

/// <summary>A model file: read, searched for layers, and each layer's weight read.</summary>
abstract class OnnxTarget : FuzzTarget
{
    public override string[] CommandLine => ["inspect", "in.onnx"];

    public override void Read(string folder)
    {
        var model = OnnxModel.Load(System.IO.Path.Combine(folder, "in.onnx"));
        var found = LayerFinder.Find(model, new());
        foreach (var layer in found.Layers)
        {
            Assert.Equal(layer.Elements, layer.ReadWeight().Data.Length);
            Assert.True(layer.BreakEvenRank >= 0 && layer.BreakEvenInputRank >= 0 && layer.Bytes > 0);
        }
        Assert.True(ModelFiles.Parameters(model) >= found.Layers.Sum(layer => layer.Elements));
    }

    public override bool Refuses(Exception e) => e is ModelException;
}

/// <summary>Broken bytes and fields, some weights in a file beside the model.</summary>
sealed class ModelTarget : OnnxTarget
{
    public override string Name => "model";

    public override FuzzInput Seed(Random random)
    {
        var model = GraphSeeds.Make(random);
        using var beside = new MemoryStream();
        if (random.Next(2) == 0)
        {
            foreach (var tensor in model.Tensors().Where(tensor => tensor.HasRawData && random.Next(2) == 0))
            {
                MoveOut(tensor, beside);
            }
        }
        return new(new("in.onnx", model.ToByteArray()), new FuzzFile("w.bin", beside.ToArray()));
    }

    static void MoveOut(TensorProto tensor, MemoryStream beside)
    {
        void Entry(string key, string value) => tensor.ExternalData.Add(new StringStringEntryProto { Key = key, Value = value });
        Entry("location", "w.bin");
        Entry("offset", beside.Position.ToString(CultureInfo.InvariantCulture));
        Entry("length", tensor.RawData.Length.ToString(CultureInfo.InvariantCulture));
        tensor.RawData.WriteTo(beside);
        tensor.DataLocation = TensorProto.Types.DataLocation.External;
        tensor.ClearRawData();
    }

    public override FuzzInput Mutate(FuzzInput valid, Random random) => valid.With(random.Next(4) == 0
        ? ByteMutator.Mutate(valid.Main.Content, random)
        : WireMutator.Mutate(valid.Main.Content, ModelProto.Descriptor, random));
}

/// <summary>Models that can be read and say something odd.</summary>
sealed class GraphTarget : OnnxTarget
{
    public override string Name => "graph";

    public override FuzzInput Seed(Random random) => new(new("in.onnx", GraphSeeds.Make(random).ToByteArray()));

    public override FuzzInput Mutate(FuzzInput valid, Random random) =>
        valid.With(GraphMutator.Mutate(ModelProto.Parser.ParseFrom(valid.Main.Content), random).ToByteArray());
}
