using OnnxLowRank.Onnx;
using DataType = OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType;

namespace MakeShaped;

/// <summary>BERT-base, uncased: normalization behind every sum.</summary>
static class Bert
{
    public const int Vocabulary = 30_522, Tokens = 128;
    public const string Ids = "input_ids", Mask = "attention_mask";
    const int Width = 768, Inner = 3072, Heads = 12, Positions = 512;

    public static void Draw(Sketch sketch, int layers)
    {
        string ids = sketch.Input(Ids, DataType.Int64, Tokens), mask = sketch.Input(Mask, DataType.Int64, Tokens);
        string wide = sketch.Node("Unsqueeze", "mask.wide", [mask, sketch.Constant("mask.axes", 1, 2)]);
        string floats = sketch.Node("Cast", "mask.float", [wide], node => node.With("to", (long)sketch.Type));
        string hidden = sketch.Node("Sub", "mask.hidden", [sketch.Scalar("mask.one", 1), floats]);
        string added = sketch.Node("Mul", "mask.added", [hidden, sketch.Scalar("mask.low", -1e4f)]);

        string words = sketch.Node("Gather", "embeddings.words", [sketch.Noise("embeddings.words.weight", 1, Vocabulary, Width), ids]);
        string places = sketch.Node(
            "Slice", "embeddings.places",
            [sketch.Noise("embeddings.places.weight", 0.3, Positions, Width), sketch.Constant("places.start", 0), sketch.Constant("places.end", Tokens), sketch.Constant("places.axis", 0)]);
        string sum = sketch.Sum("embeddings.sum", words, places);
        string state = sketch.LayerNorm("embeddings.norm", sketch.Sum("embeddings.typed", sum, sketch.Noise("embeddings.type.weight", 0.3, Width)), Width);
        for (int i = 0; i < layers; i++)
        {
            string name = $"layer.{i}";
            string attended = sketch.Attention(name + ".attention", state, Width, Heads, added);
            state = sketch.LayerNorm(name + ".attention.norm", sketch.Sum(name + ".attention.sum", attended, state), Width);
            string fed = sketch.FeedForward(name + ".ffn", state, Width, Inner);
            state = sketch.LayerNorm(i == layers - 1 ? "last_hidden_state" : name + ".ffn.norm", sketch.Sum(name + ".ffn.sum", fed, state), Width);
        }
        sketch.Output(state, Tokens, Width);

        string first = sketch.Node("Gather", "pooler.first", [state, sketch.Constant("pooler.index", 0)], node => node.With("axis", 1));
        string flat = sketch.Node("Squeeze", "pooler.flat", [first, sketch.Constant("pooler.axes", 1)]);
        string pooled = sketch.Node("Gemm", "pooler.dense", [flat, sketch.Weight("pooler.weight", Width, Width, Width, Width, Width), sketch.Noise("pooler.bias", 0.02, Width)]);
        sketch.Output(sketch.Node("Tanh", "pooler_output", [pooled]), Width);
    }
}
