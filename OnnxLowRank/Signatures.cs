using Microsoft.ML.OnnxRuntime;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;

namespace OnnxLowRank;

/// <summary>What models take and give, checked against each other.</summary>
static class Signatures
{
    /// <summary>What samples for both models must be like: an axis that one model fixes is fixed.</summary>
    /// <exception cref="ModelException">An input or output is missing, or its type or shape differs; the message names it.</exception>
    public static InputSpec[] Common(ModelFile first, ModelFile second)
    {
        RequireSame("input", first, second, first.Session.Inputs, second.Session.Inputs);
        RequireSame("output", first, second, first.Session.Outputs, second.Session.Outputs);
        return [.. Inputs(first).Zip(first.Session.Inputs.Keys.Select(name => Inputs(second).Single(input => input.Name == name)),
            (a, b) => a with { Dimensions = [.. a.Dimensions.Zip(b.Dimensions, (one, other) => one ?? other)] })];
    }

    /// <summary>The inputs that samples are given for.</summary>
    /// <exception cref="ModelException">Samples cannot be given for one.</exception>
    public static InputSpec[] Inputs(ModelFile model) =>
        ModelFile.Naming(model.Path, () => model.Session.Inputs.Select(input => Workspace.Spec(input.Key, input.Value)).ToArray());

    static void RequireSame(
        string what, ModelFile first, ModelFile second, IReadOnlyDictionary<string, NodeMetadata> ofFirst, IReadOnlyDictionary<string, NodeMetadata> ofSecond)
    {
        foreach (var (name, metadata) in ofFirst)
        {
            if (!ofSecond.TryGetValue(name, out var other))
            {
                throw new ModelException($"{second.Path}: has no {what} '{name}', which {first.Path} has");
            }
            if (metadata.OnnxValueType != other.OnnxValueType || (metadata.IsTensor && !Fits(what, metadata, other)))
            {
                throw new ModelException($"{second.Path}: {what} '{name}' is {Text(other)}, but {Text(metadata)} in {first.Path}");
            }
        }
        string? added = ofSecond.Keys.FirstOrDefault(name => !ofFirst.ContainsKey(name));
        if (added != null)
        {
            throw new ModelException($"{second.Path}: has an {what} '{added}', which {first.Path} has not");
        }
    }

    /// <summary>Of outputs, a shape without axes may also be one that the model does not tell.</summary>
    static bool Fits(string what, NodeMetadata one, NodeMetadata other)
    {
        if (one.ElementDataType != other.ElementDataType)
        {
            return false;
        }
        if (what == "output" && (one.Dimensions.Length == 0 || other.Dimensions.Length == 0))
        {
            return true;
        }
        return one.Dimensions.Length == other.Dimensions.Length && one.Dimensions.Zip(other.Dimensions).All(pair => pair.First < 0 || pair.Second < 0 || pair.First == pair.Second);
    }

    static string Text(NodeMetadata metadata) => metadata.IsTensor
        ? $"{ElementTypes.Name((TensorProto.Types.DataType)(int)metadata.ElementDataType)} [{string.Join(',', metadata.Dimensions.Select(dim => dim < 0 ? "?" : $"{dim}"))}]"
        : $"{metadata.OnnxValueType}";
}
