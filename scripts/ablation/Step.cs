using OnnxLowRank;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx;
using OnnxLowRank.Planning;
using OnnxLowRank.Refitting;
using OnnxLowRank.Rewriting;
using OnnxLowRank.Storage;

namespace Ablation;

/// <summary>The method with some of its parts.</summary>
sealed record Step(string Name)
{
    /// <summary>The factors.</summary>
    public required Analysis Analysis { get; init; }

    /// <summary>What errors count.</summary>
    public required IReadOnlyDictionary<Layer, DamageCurve> Damage { get; init; }

    /// <summary>Whether every layer is cut to the same error, instead of all sharing a budget.</summary>
    public bool CutsAlike { get; init; }

    public bool Refits { get; init; }

    /// <summary>Formats of rewritten weights.</summary>
    public IReadOnlyList<WeightFormat> Formats { get; init; } = [WeightFormat.Float32];

    /// <summary>Formats of weights that floats are made of when the model is loaded.</summary>
    public IReadOnlyList<WeightFormat> WeightOnly { get; init; } = [];

    /// <summary>Whether a Conv's input channels may be combined.</summary>
    public bool HasSchemes { get; init; }

    /// <summary>Whether ranks are cut; otherwise weights are only quantized.</summary>
    public bool Factorizes { get; init; } = true;

    /// <summary>Searches, verifies and writes the smallest plan that is possible with these parts.</summary>
    /// <returns>The plan that was written, or null when none passed and none was.</returns>
    public VerifiedPlan? Run(Workspace workspace, CompressionOptions options, ILinearAlgebra algebra)
    {
        // The search refits for methods that know data; it asks for the method for no other reason.
        options = options with { Method = Refits ? Method.Output : Method.Svd };
        using var output = new StagedOutput(options.Output, WeightsFile.NamesOf);
        var rewriter = RewriterOf(Analysis, workspace, options);
        double macs = Analysis.Macs(Analysis.Found.Layers.Select(layer => new LayerPlan.Keep(layer)));
        var refitter = new Refitter(workspace.Model, rewriter, Analysis.Decompositions, Analysis.InFewBits, Analysis.Ranges.Inside, Analysis.Shapes, algebra, workspace.Device, options.Threads, macs, workspace.Memory);
        var search = new PlanSearch(workspace, options, rewriter, refitter, output, new(null));
        if (search.Run(Tables(workspace, options)) is not { Passed: true } best)
        {
            return null;
        }
        search.Stage(best);
        output.Commit();
        return best;
    }

    public static Rewriter RewriterOf(Analysis analysis, Workspace workspace, CompressionOptions options) => new(
        workspace.Model, analysis.Decompositions, analysis.InFewBits, analysis.Ranges, options.Dialect, new Dictionary<string, string>());

    List<List<Candidate>> Tables(Workspace workspace, CompressionOptions options)
    {
        var tables = Analysis.Tables(
            Damage, new ShapeCostModel(Analysis.Positions), _ => new(Formats, WeightOnly, Factorizes, [0, Compressor.Block]), options.Dialect, workspace.Model.Opset);
        if (!HasSchemes)
        {
            tables.ForEach(table => table.RemoveAll(candidate => candidate.Plan is LayerPlan.Factorize { InputRank: not null } or LayerPlan.Factorize { IsSpatial: true }));
        }
        return CutsAlike ? tables.ConvertAll(CutAlike) : tables;
    }

    /// <summary>
    /// Damages with which an allocation at λ takes of every layer the smallest candidate whose error is at most some ε that grows with λ,
    /// the same for all: each step down the table costs what it saves times the error it leads to.
    /// </summary>
    static List<Candidate> CutAlike(List<Candidate> table)
    {
        var steps = new List<Candidate> { table[0] };
        foreach (var candidate in table.Where(candidate => candidate.Bytes < table[0].Bytes).OrderByDescending(candidate => candidate.Bytes))
        {
            steps.Add(candidate with { Damage = steps[^1].Damage + candidate.Error * (steps[^1].Bytes - candidate.Bytes) });
        }
        return steps;
    }
}
