using OnnxLowRank.Onnx;

namespace MakeShaped;

/// <summary>ViT-B/16 on 224x224 pixels: normalization before every block.</summary>
static class Vit
{
    public const int Side = 224;
    public const string Pixels = "pixels";
    const int Patch = 16, Width = 768, Inner = 3072, Heads = 12, Classes = 1000, Patches = Side / Patch * (Side / Patch);

    public static void Draw(Sketch sketch, int layers)
    {
        const int PatchSize = 3 * Patch * Patch;
        string pixels = sketch.Input(Pixels, 3, Side, Side);
        string patches = sketch.Node(
            "Conv", "patches", [pixels, sketch.Weight("patches.weight", Width, PatchSize, Width, Width, 3, Patch, Patch), sketch.Noise("patches.bias", 0.02, Width)],
            node => node.With("kernel_shape", [Patch, Patch]).With("strides", [Patch, Patch]));
        string rows = sketch.Node("Reshape", "patches.rows", [patches, sketch.Constant("patches.shape", 0, Width, Patches)]);
        string tokens = sketch.Node("Transpose", "patches.tokens", [rows], node => node.With("perm", [0, 2, 1]));

        string shape = sketch.Node("Shape", "batch.shape", [pixels], node => node.With("start", 0).With("end", 1));
        string wanted = sketch.Node("Concat", "class.shape", [shape, sketch.Constant("class.one", 1, Width)], node => node.With("axis", 0));
        string label = sketch.Node("Expand", "class.token", [sketch.Noise("class.weight", 0.3, 1, 1, Width), wanted]);
        string all = sketch.Node("Concat", "tokens", [label, tokens], node => node.With("axis", 1));
        string state = sketch.Sum("embedded", all, sketch.Noise("places.weight", 0.3, 1, Patches + 1, Width));
        for (int i = 0; i < layers; i++)
        {
            string name = $"block.{i}";
            string attended = sketch.Attention(name + ".attention", sketch.LayerNorm(name + ".norm1", state, Width), Width, Heads, mask: null);
            state = sketch.Sum(name + ".sum1", attended, state);
            string fed = sketch.FeedForward(name + ".mlp", sketch.LayerNorm(name + ".norm2", state, Width), Width, Inner);
            state = sketch.Sum(name + ".sum2", fed, state);
        }
        string normed = sketch.LayerNorm("norm", state, Width);
        string first = sketch.Node("Gather", "head.first", [normed, sketch.Constant("head.index", 0)], node => node.With("axis", 1));
        string flat = sketch.Node("Squeeze", "head.flat", [first, sketch.Constant("head.axes", 1)]);
        string logits = sketch.Node("Gemm", "logits", [flat, sketch.Weight("head.weight", Classes, Width, Classes, Classes, Width), sketch.Noise("head.bias", 0.02, Classes)], node => node.With("transB", 1));
        sketch.Output(logits, Classes);
    }
}
