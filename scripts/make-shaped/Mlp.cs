namespace MakeShaped;

/// <summary>A chain of square layers with Relu between them.</summary>
static class Mlp
{
    public const string Numbers = "numbers";
    public const int Inputs = 64;
    const int Outputs = 16;

    public static void Draw(Sketch sketch, int layers, int width)
    {
        string state = sketch.Input(Numbers, Inputs);
        for (int i = 0; i < layers; i++)
        {
            string linear = sketch.Linear($"layer.{i}", state, i == 0 ? Inputs : width, width);
            state = sketch.Node("Relu", $"layer.{i}.relu", [linear]);
        }
        sketch.Output(sketch.Linear("outputs", state, width, Outputs), Outputs);
    }
}
