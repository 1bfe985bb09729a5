using OnnxLowRank.Factorization;

namespace OnnxLowRank;

/// <summary>What a model's layers hold, and what could be gained; the JSON report is this record.</summary>
/// <param name="Samples">Samples that outputs were measured on; 0 without any.</param>
/// <param name="Parameters">Elements of all constants of the model.</param>
/// <param name="Macs">Multiply-adds per sample in the layers found; null where shapes are not known without samples.</param>
/// <param name="Layers">Those that gain most first.</param>
/// <param name="LeftAlone">Nodes with weights that are not touched.</param>
/// <param name="Notes">What a careful user wants to know.</param>
public sealed record InspectionReport(
    ToolInfo Tool, FileFacts Source, RuntimeInfo Runtime, int Samples, long Parameters, double? Macs, IReadOnlyList<InspectedLayer> Layers,
    IReadOnlyList<InspectedNode> LeftAlone, IReadOnlyList<string> Notes);

/// <summary>One layer.</summary>
/// <param name="Shape">Shape of the weight as stored.</param>
/// <param name="Parameters">Elements of the weight.</param>
/// <param name="ParameterShare">Of the whole model's.</param>
/// <param name="Macs">Multiply-adds per sample; null where they are not known.</param>
/// <param name="MacShare">Of all layers'.</param>
/// <param name="Rank">The largest rank there is; per group, as all ranks.</param>
/// <param name="BreakEvenRank">The largest rank at which two factors are smaller than the weight.</param>
/// <param name="Weight">Of W (out, in), a Conv's as (out, in·kernel); with an absorbed BatchNormalization in it.</param>
/// <param name="Output">Of the layer's outputs about their mean, as a matrix with a row per vector; null without samples.</param>
/// <param name="Predicted">What a cut loses at a few ranks: of the output's variance with samples, of ‖W‖² without.</param>
/// <param name="Gain">Share of the model's parameters that is saved at the rank which keeps 99.9 % of the same; 0 where none is.</param>
public sealed record InspectedLayer(
    string Name, string Op, long[] Shape, long Parameters, double ParameterShare, double? Macs, double? MacShare, int Rank, int BreakEvenRank,
    RankFigures Weight, RankFigures? Output, IReadOnlyList<PredictedLoss> Predicted, double Gain);

/// <summary>What a cut loses.</summary>
/// <param name="Error">Share that is lost, 0…1.</param>
public sealed record PredictedLoss(int Rank, double Error);

/// <summary>A node with a weight that is left alone.</summary>
public sealed record InspectedNode(string Name, string Op, long[] Shape, long Bytes, string Reason);
