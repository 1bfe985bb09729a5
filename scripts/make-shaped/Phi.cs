using DataType = OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType;

namespace MakeShaped;

/// <summary>Phi-2 without its rotation of positions: attention and feed-forward side by side behind one normalization.</summary>
static class Phi
{
    public const int Vocabulary = 51_200, Tokens = 16;
    public const string Ids = "input_ids";
    const int Width = 2560, Inner = 10_240, Heads = 32;

    public static void Draw(Sketch sketch, int layers)
    {
        string ids = sketch.Input(Ids, DataType.Int64, Tokens);
        string state = sketch.Node("Gather", "embeddings", [sketch.Noise("embeddings.weight", 1, Vocabulary, Width), ids]);
        string mask = sketch.Causal("mask", Tokens);
        for (int i = 0; i < layers; i++)
        {
            string name = $"layer.{i}";
            string normed = sketch.LayerNorm(name + ".norm", state, Width);
            string attended = sketch.Attention(name + ".attention", normed, Width, Heads, mask);
            string fed = sketch.FeedForward(name + ".ffn", normed, Width, Inner);
            state = sketch.Sum(name, sketch.Sum(name + ".parts", attended, fed), state);
        }
        sketch.Output(sketch.Linear("logits", sketch.LayerNorm("norm", state, Width), Width, Vocabulary), Tokens, Vocabulary);
    }
}
