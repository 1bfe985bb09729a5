using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;

namespace OnnxLowRank.Tests.Rewriting;

/// <summary>Writes rewritten models for a judge from outside; see scripts/check-rewritten.sh.</summary>
public class ModelExport
{
    [Fact(Explicit = true)]
    public void Rewritten_models_are_written_to_a_folder()
    {
        string folder = Environment.GetEnvironmentVariable("ONNX_LOWRANK_EXPORT") ?? throw new InvalidOperationException("ONNX_LOWRANK_EXPORT names no folder");
        foreach (string name in LayerCases.Names)
        {
            // The checker wants to know whether opsets 7, 13 and 17 and IR versions 3 to 8 are written as their own rules say.
            foreach (var (opset, ir) in new[] { (8, 3), (13, 7), (17, 8) }.Where(pair => pair.Item1 > 10 || !name.Contains("without C", StringComparison.Ordinal)))
            {
                var (model, samples) = LayerCases.Make(name, opset, ir);
                var bench = new Bench(model, samples, new(Only: new("^y_node$")));
                var output = model.Graph.Output[0];
                output.Type.TensorType.Shape = new() { Dim = { bench.Run(model, output.Name)[0].Shape.Select(_ => new TensorShapeProto.Types.Dimension()) } };

                void Write(string kind, Rewritten rewritten) =>
                    File.WriteAllBytes(Path.Combine(folder, $"{name} {opset} {kind}.onnx"), rewritten.Model.ToBytes());

                Write("factors", bench.Factorize(Bench.LowRank));
                foreach (var dialect in Enum.GetValues<Dialect>().Where(dialect => CanQuantize(name, opset, dialect)))
                {
                    Write($"dense {dialect}", bench.Quantize(dialect));
                    Write($"int8 {dialect}", bench.Factorize(Bench.LowRank, WeightFormat.Int8, dialect));
                }
            }
        }
    }

    static bool CanQuantize(string name, int opset, Dialect dialect) =>
        LayerCases.OnIntegers.Contains(name) && opset >= (dialect == Dialect.Onnx ? 13 : 10);
}
