using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Gradients;

/// <summary>Writes what an operator makes of the gradients of its outputs: those of its inputs.</summary>
/// <returns>False where it does not know the operator in this form; then nothing is known of the inputs' gradients.</returns>
delegate bool AdjointRule(Adjoint node);

/// <summary>One node on the way back: its inputs and outputs as they were computed, the gradients that reached it, and where its own go.</summary>
/// <param name="gradients">Per output; null where nothing that is differentiated depends on it.</param>
/// <param name="isWanted">Whether the gradient of a value is.</param>
/// <param name="add">Takes a part of the gradient of a value.</param>
sealed class Adjoint(NodeProto node, GraphWriter writer, ValueTrace trace, string?[] gradients, Func<string, bool> isWanted, Action<string, string> add)
{
    public NodeProto Node => node;

    public GraphWriter Writer => writer;

    public ValueTrace Trace => trace;

    /// <summary>x, or another input.</summary>
    public string Input(int index = 0) => node.Input[index];

    /// <summary>y, the first output.</summary>
    public string Output => node.Output[0];

    /// <summary>Of y.</summary>
    public string Gradient => gradients[0]!;

    /// <summary>Per output.</summary>
    public IReadOnlyList<string?> Gradients => gradients;

    /// <summary>Whether the gradient of an input is asked for.</summary>
    public bool Wants(int input) => input < node.Input.Count && isWanted(node.Input[input]);

    /// <summary>Whether it is of none but the first.</summary>
    public bool WantsOnlyFirst => !Enumerable.Range(1, Math.Max(0, node.Input.Count - 1)).Any(Wants);

    /// <summary>Shape of an input, −1 for axes whose length depends on the number of samples.</summary>
    public long[] InputShape(int index = 0) => trace.Shape(node.Input[index]);

    public long[] OutputShape => trace.Shape(node.Output[0]);

    /// <summary>Gives an input its gradient.</summary>
    public bool Give(int input, string gradient)
    {
        add(node.Input[input], gradient);
        return true;
    }

    /// <summary>Gives the first input its gradient, and knows no other.</summary>
    public bool Give(string gradient) => WantsOnlyFirst && Give(0, gradient);

    /// <summary>Gives an input of a broadcasting operator its gradient: summed over what it was repeated along.</summary>
    public void GiveSummed(int input, string gradient) => Give(input, Summed(gradient, OutputShape, input));

    /// <summary>A gradient of some shape summed to that of an input, which was repeated to it.</summary>
    public string Summed(string gradient, long[] shape, int input)
    {
        long[] own = InputShape(input);
        int more = shape.Length - own.Length;
        long[] axes = [.. Enumerable.Range(0, shape.Length).Where(axis => axis < more || (own[axis - more] == 1 && shape[axis] != 1)).Select(axis => (long)axis)];
        return axes.Length == 0 ? gradient : Shaped(writer.Reduced("ReduceSum", 13, gradient, axes, keepsAxes: true), input);
    }

    /// <summary>Elements in the order they have, in the shape of an input.</summary>
    public string Shaped(string value, int input = 0) => writer.Node("Reshape", [value, writer.Node("Shape", [node.Input[input]])]);

    public string Times(string left, string right) => writer.Node("Mul", [left, right]);

    public string Plus(string left, string right) => writer.Node("Add", [left, right]);

    public string Minus(string left, string right) => writer.Node("Sub", [left, right]);

    public string Over(string left, string right) => writer.Node("Div", [left, right]);

    public string Apply(string function, string value) => writer.Node(function, [value]);

    public string Scalar(double value) => writer.Floats([(float)value]);

    /// <summary>1 where a value is positive, else 0.</summary>
    public string IsPositive(string value) =>
        writer.Node("Cast", [writer.Node("Greater", [value, Scalar(0)])], cast => cast.With("to", (long)TensorProto.Types.DataType.Float));

    /// <summary>1 where two values are equal, else 0.</summary>
    public string AreEqual(string left, string right) => Minus(Scalar(1), IsPositive(Apply("Abs", Minus(left, right))));

    /// <summary>The axes that an operator is told of, counted from the first: in an attribute or as an operand, or none.</summary>
    /// <returns>False where they are told and not known.</returns>
    public bool Axes(int operand, int rank, out long[] axes)
    {
        string named = node.InputOrEmpty(operand);
        long[]? given = named.Length > 0 ? trace.Integers(named) : node.Ints("axes") ?? [];
        axes = [.. (given ?? []).Select(axis => axis < 0 ? axis + rank : axis)];
        return given != null;
    }
}
