using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Tests.Onnx;

public class FunctionCallsTests
{
    static FunctionProto Function(string name, params string[] calls) => new()
    {
        Name = name,
        Domain = "local",
        Node = { calls.Select(called => Call(called)) },
    };

    static NodeProto Call(string name) => new() { OpType = name, Domain = name[0] == 'f' ? "local" : "", Output = { "y" } };

    static ModelProto Model(params IEnumerable<FunctionProto> functions) => new() { Graph = new() { Node = { Call("f0") } }, Functions = { functions } };

    static string Refusal(ModelProto model) => Assert.Throws<ModelException>(() => FunctionCalls.Check(model)).Message;

    [Fact]
    public void Functions_that_call_functions_are_fine()
    {
        FunctionCalls.Check(Model(Enumerable.Range(0, 99).Select(i => Function($"f{i}", $"f{i + 1}", "Relu")).Append(Function("f99", "Relu"))));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Doubling_twenty_times_is_refused(bool isReversed)
    {
        var functions = Enumerable.Range(0, 20).Select(i => Function($"f{i}", $"f{i + 1}", $"f{i + 1}")).Append(Function("f20", "Relu"));

        Assert.EndsWith("more than 100000", Refusal(Model(isReversed ? functions.Reverse() : functions)), StringComparison.Ordinal);
    }

    /// <summary>Functions of a domain that call each other under the other name of it.</summary>
    [Theory]
    [InlineData("", "ai.onnx")]
    [InlineData("ai.onnx", "")]
    public void The_standards_domain_is_one_under_both_names(string domain, string called)
    {
        var model = Model(Enumerable.Range(0, 18).Select(i => Function($"f{i}", $"f{i + 1}", $"f{i + 1}")).Append(Function("f18", "Relu")));
        foreach (var function in model.Functions)
        {
            function.Domain = domain;
        }
        foreach (var call in model.Functions.SelectMany(function => function.Node).Concat(model.Graph.Node))
        {
            call.Domain = called;
        }

        Assert.EndsWith("more than 100000", Refusal(model), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("local", "local")]
    [InlineData("", "ai.onnx")]
    public void Two_functions_of_one_name_are_refused(string domain, string other)
    {
        var model = Model(Function("f0", "Relu"), Function("f0", "Relu"));
        (model.Functions[0].Domain, model.Functions[1].Domain) = (domain, other);

        Assert.Equal("function 'f0' is there twice", Refusal(model));
        model.Functions[1].Overload = "second";
        FunctionCalls.Check(model);
    }

    /// <summary>The body's If puts what it is given in both branches: a call of the function itself, or calls in calls, which double.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Graphs_given_to_functions_are_refused(bool isDefault)
    {
        var function = Function("f0", "If");
        function.Node[0].Attribute.Add(new AttributeProto { Name = "then_branch", RefAttrName = "g" });
        function.Node[0].Attribute.Add(new AttributeProto { Name = "else_branch", RefAttrName = "g" });
        var model = Model(function);
        FunctionCalls.Check(model);

        (isDefault ? function.AttributeProto : model.Graph.Node[0].Attribute).Add(new AttributeProto { Name = "g", G = new() { Node = { Call("f0") } } });

        Assert.Equal("function 'f0' is given a graph, 'g', which is not supported", Refusal(model));
    }

    [Fact]
    public void Many_calls_of_a_large_function_are_refused()
    {
        var model = Model(Function("f0", [.. Enumerable.Repeat("Relu", 1000)]));
        model.Graph.Node.Add(Enumerable.Repeat(model.Graph.Node[0], 100));

        Assert.Equal("its functions become 101101 nodes, more than 100000", Refusal(model));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Deep_chains_are_refused_whatever_the_order(bool isReversed)
    {
        var functions = Enumerable.Range(0, 100_000).Select(i => Function($"f{i}", $"f{i + 1}"));

        Assert.EndsWith("nested more than 100 deep, or go in circles", Refusal(Model(isReversed ? functions.Reverse() : functions)), StringComparison.Ordinal);
    }

    [Fact]
    public void Circles_are_refused_in_subgraphs_too()
    {
        var inside = Function("f1", "If");
        inside.Node[0].Attribute.Add(new AttributeProto { G = new() { Node = { Call("f0") } } });

        Assert.EndsWith("or go in circles", Refusal(Model(Function("f0", "f1"), inside)), StringComparison.Ordinal);
        Assert.EndsWith("or go in circles", Refusal(Model(Function("f0", "Relu"), Function("f1", "f1"))), StringComparison.Ordinal);
    }
}
