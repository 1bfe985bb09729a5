using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Onnx;

/// <summary>What a function and its calls have in common.</summary>
readonly record struct FunctionKey(string Domain, string Name, string Overload)
{
    public static FunctionKey Of(FunctionProto function) => new(DomainOf(function.Domain), function.Name, function.Overload);

    public static FunctionKey Of(NodeProto call) => new(DomainOf(call.Domain), call.OpType, call.Overload);

    /// <summary>The domain under one name: the standard's own has two.</summary>
    public static string DomainOf(string domain) => domain == "ai.onnx" ? "" : domain;
}
