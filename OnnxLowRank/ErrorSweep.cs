using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;

namespace OnnxLowRank;

/// <summary>
/// Every layer alike: the smallest way to do it that is predicted to err by no more than ε, ‖Δy‖/‖y‖ of its output about the mean;
/// the layer as it was where none pays. Once by factors alone, once by few bits alone, once by both.
/// </summary>
static class ErrorSweep
{
    public static void Run(SweepOptions options, string input, SweepSink sink, CancellationToken cancellation)
    {
        using var bench = new SweepBench(options, input, cancellation);
        var found = bench.Find();
        if (found.Layers.Count == 0)
        {
            throw new ModelException($"{input}: {Compressor.WhyNone(found)}");
        }
        var workspace = bench.Workspace;
        var compression = bench.Compression;
        var analysis = Analysis.Of(workspace, found, compression, bench.Algebra, new(progress: null));
        var rewriter = new Rewriter(
            workspace.Model, analysis.Decompositions, analysis.InFewBits, analysis.Ranges, compression.Dialect, new Dictionary<string, string>(), compression.WeightBits);
        var damage = found.Layers.ToDictionary(layer => layer, _ => new DamageCurve(1, 1));
        bench.Start(sink);

        WeightFormat[] few = [WeightFormat.Int8, WeightFormat.Int4];
        string method = options.Methods[0].ToString().ToLowerInvariant();
        (string Series, Allowed Allowed)[] families =
        [
            (method, new([WeightFormat.Float32], [], true, [0], compression.WeightBits)),
            ("quantization", new(few, [], false, [0, Compressor.Block], compression.WeightBits)),
            ($"{method} + quantization", new([WeightFormat.Float32, .. few], [], true, [0, Compressor.Block], compression.WeightBits)),
        ];
        int done = 0;
        foreach (var (series, allowed) in families)
        {
            var tables = analysis.Tables(damage, new ShapeCostModel(analysis.Positions), _ => allowed, compression.Dialect, workspace.Model.Opset);
            foreach (double error in options.Settings)
            {
                sink.Add(bench.Measure(rewriter, tables.Select(table => Smallest(table, error).Plan), series, error));
                sink.Progress((double)++done / (families.Length * options.Settings.Count));
            }
        }
    }

    /// <param name="error">ε, of which candidates hold the square.</param>
    internal static Candidate Smallest(IReadOnlyList<Candidate> table, double error) =>
        table.Where(candidate => candidate.Error <= error * error).MinBy(candidate => candidate.Bytes);
}
