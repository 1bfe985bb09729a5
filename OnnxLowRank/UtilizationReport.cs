using OnnxLowRank.Utilization;
using OnnxLowRank.Validation;

namespace OnnxLowRank;

/// <summary>How much of the space that its weights have a model uses on its data; the JSON report is this record.</summary>
/// <param name="Metric">accuracy or agreement.</param>
/// <param name="Delta">What each projection may lose of it.</param>
/// <param name="MeanLayerUtilization">Mean of the layers' utilization, 0…1; null where no layer was searched.</param>
/// <param name="Before">Of the model as it is.</param>
/// <param name="After">With every layer in two factors of its utilized rank where that is smaller; others stay as they are.</param>
/// <param name="Verified">What all projections together lose on samples that no decision has seen, with its 95 % interval.</param>
/// <param name="Passes">Forward work of this run.</param>
/// <param name="Seconds">Of this run.</param>
/// <param name="Resumed">Layers whose dimensions were found by an earlier run.</param>
/// <param name="Layers">In graph order.</param>
/// <param name="LeftAlone">Nodes with weights that were not searched.</param>
/// <param name="Notes">What a careful user wants to know.</param>
public sealed record UtilizationReport(
    ToolInfo Tool, FileFacts Source, RuntimeInfo Runtime, string Metric, double Delta, int Seed, SampleCounts Samples, double? MeanLayerUtilization,
    ModelWork Before, ModelWork After, Loss Verified, ForwardPasses Passes, double Seconds, int Resumed, IReadOnlyList<UtilizedLayer> Layers,
    IReadOnlyList<InspectedNode> LeftAlone, IReadOnlyList<string> Notes);

/// <summary>How many samples each share has.</summary>
public sealed record SampleCounts(int Moments, int Search, int Verification);

/// <summary>Elements of all constants, and multiply-adds per sample in all layers.</summary>
public sealed record ModelWork(long Parameters, double Macs);

/// <summary>One layer.</summary>
/// <param name="Shape">Shape of the weight as stored.</param>
/// <param name="Inputs">Dimensions of the input: in of W (out, in), per group as all dimensions and ranks; a Conv's in is channels·kernel.</param>
/// <param name="InputDimension">k_S, those that are needed.</param>
/// <param name="Outputs">Dimensions of the output.</param>
/// <param name="OutputDimension">k_T, those that are needed once inputs are projected.</param>
/// <param name="MaxRank">The largest rank there is, min(in, out).</param>
/// <param name="WeightRank">Singular values that hold 99.99 % of ‖W‖².</param>
/// <param name="UtilizedRank">The same for W' = P_T·W·P_S.</param>
/// <param name="Utilization">Utilized rank over largest rank, 0…1.</param>
/// <param name="Loss">What the projections of this layer alone lose on search samples.</param>
/// <param name="Before">The layer as it is: elements of its weight.</param>
/// <param name="After">In two factors of the utilized rank, where that is smaller.</param>
/// <param name="Probes">Weights that were tried.</param>
/// <param name="Passes">What its search took, in this run or an earlier one.</param>
/// <param name="Seconds">Likewise.</param>
public sealed record UtilizedLayer(
    string Name, string Op, long[] Shape, int Inputs, int InputDimension, int Outputs, int OutputDimension, int MaxRank, int WeightRank, int UtilizedRank,
    double Utilization, double Loss, ModelWork Before, ModelWork After, int Probes, ForwardPasses Passes, double Seconds);
