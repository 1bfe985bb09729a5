using OnnxLowRank.Layers;
using static OnnxLowRank.Onnx.Proto.TensorProto.Types;

namespace OnnxLowRank.Tests.Layers;

/// <summary>Models to find layers in, and what is expected of the finds.</summary>
static class Finding
{
    /// <summary>A model of x (?, 24), with whatever else a test adds.</summary>
    public static TinyModel Model(int opset = 17, int ir = 8)
    {
        var model = new TinyModel(opset, ir);
        model.Input("x", null, 24);
        return model;
    }

    /// <summary>A model of int64 ids (?, 5) and a float table (40, 12).</summary>
    public static TinyModel TableModel()
    {
        var model = new TinyModel();
        model.Graph.Input.Add(TinyModel.Value("ids", DataType.Int64, null, 5));
        model.Weight("table", 40, 12);
        return model;
    }

    public static FoundLayers Find(TinyModel model, LayerFilter? filter = null, bool? listInitializers = null)
    {
        if (model.Graph.Output.Count == 0)
        {
            model.Outputs(model.Graph.Node[^1].Output[0]);
        }
        return LayerFinder.Find(model.Build(listInitializers), filter ?? new());
    }

    public static Layer OnlyLayer(FoundLayers found)
    {
        Assert.Empty(found.LeftAlone);
        return Assert.Single(found.Layers);
    }

    public static Layer OnlyLayerOf(TinyModel model) => OnlyLayer(Find(model));

    public static void AssertLeftAlone(FoundLayers found, params string[] reasons)
    {
        Assert.Empty(found.Layers);
        Assert.Equal(reasons, found.LeftAlone.Select(alone => alone.Reason));
    }
}
