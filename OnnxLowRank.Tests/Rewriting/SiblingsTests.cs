using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Rewriting;

namespace OnnxLowRank.Tests.Rewriting;

public class SiblingsTests
{
    static readonly MemorySamples s_samples = new([Feed.Random("x", 20, 5, 24)]);

    /// <summary>Three projections of a LayerNorm-like value, of unlike widths, and one of another value.</summary>
    static OnnxModel Model(int opset, bool hasBias)
    {
        var model = new TinyModel(opset);
        model.Input("x", null, 5, 24);
        model.Node("Tanh", ["x"], "t");
        foreach (var (name, width) in new[] { ("q", 40), ("k", 40), ("v", 90) })
        {
            string product = model.Node("MatMul", ["t", model.Weight($"{name}_w", 24, width)], hasBias ? $"{name}_product" : name);
            if (hasBias)
            {
                model.Node("Add", [product, model.Weight($"{name}_b", width)], name);
            }
        }
        model.Node("MatMul", ["x", model.Weight("other_w", 24, 30)], "other");
        model.Outputs("q", "k", "v", "other");
        return model.Build();
    }

    static OnnxModel Stacked(OnnxModel model, LayerFilter? filter = null) => Siblings.Stacked(model, LayerFinder.Find(model, filter ?? new()).Layers);

    [Theory]
    [InlineData(11, true)]
    [InlineData(12, false)]
    [InlineData(13, true)]
    [InlineData(17, false)]
    [InlineData(24, true)]
    public void Products_of_one_value_become_one_and_give_the_same_numbers(int opset, bool hasBias)
    {
        var model = Model(opset, hasBias);
        string[] outputs = ["q", "k", "v", "other"];

        var stacked = Stacked(model);

        Assert.Equal(2, stacked.Graph.Node.Count(node => node.OpType == "MatMul"));
        Assert.Equal([(24, 170), (24, 30)], LayerFinder.Find(stacked, new()).Layers.Select(layer => (layer.In, layer.Out)));
        foreach (var (before, after) in ModelRuns.Run(model, s_samples, outputs).Zip(ModelRuns.Run(stacked, s_samples, outputs)))
        {
            ModelRuns.AssertNear(before, after, 1e-6);
        }
        Assert.DoesNotContain(stacked.Graph.Initializer, tensor => tensor.Name is "q_w" or "k_b");
        Assert.Equal(4, model.Graph.Node.Count(node => node.OpType == "MatMul")); // the model itself is not changed
    }

    [Fact]
    public void What_the_user_wants_left_alone_is_not_stacked()
    {
        var model = Model(17, hasBias: true);

        var stacked = Stacked(model, new(Skip: new("^k_product_node$")));

        Assert.Contains(stacked.Graph.Node, node => node.Name == "k_product_node");
        Assert.Equal([(24, 130), (24, 40), (24, 30)], LayerFinder.Find(stacked, new()).Layers.Select(layer => (layer.In, layer.Out)));
    }

    [Fact]
    public void Without_siblings_the_model_is_the_same_object()
    {
        var model = Model(17, hasBias: true);

        Assert.Same(model, Stacked(model, new(Only: new("q_product|other"))));
        Assert.Same(model, Siblings.Stacked(model, []));
    }
}
