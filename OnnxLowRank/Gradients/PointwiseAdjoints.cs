using OnnxLowRank.Onnx;

namespace OnnxLowRank.Gradients;

/// <summary>Of functions of every number by itself, and of arithmetic on two values of which one may be repeated.</summary>
static class PointwiseAdjoints
{
    const double SqrtHalf = 0.70710678118654752, InverseSqrt2Pi = 0.39894228040143268, TwoOverSqrtPi = 1.1283791670955126;

    /// <summary>By operator.</summary>
    public static IEnumerable<(string OpType, AdjointRule Rule)> Rules =>
    [
        ("Relu", node => Sloped(node, node.IsPositive(node.Input()))),
        ("LeakyRelu", node => Sloped(node, Leaky(node, node.Scalar(node.Node.Float("alpha", 0.01f)), node.Scalar(1)))),
        ("PRelu", node => Sloped(node, Leaky(node, node.Input(1), node.Scalar(1)))),
        ("Elu", node => Sloped(node, Leaky(node, node.Plus(node.Output, node.Scalar(node.Node.Float("alpha", 1))), node.Scalar(1)))),
        ("Clip", node => Sloped(node, node.AreEqual(node.Input(), node.Output))),
        ("HardSigmoid", node => Sloped(node, node.Times(node.Scalar(node.Node.Float("alpha", 0.2f)), Between(node, node.Output, 0, 1)))),
        ("HardSwish", node => Sloped(node, HardSwish(node))),
        ("Sigmoid", node => Sloped(node, node.Times(node.Output, node.Minus(node.Scalar(1), node.Output)))),
        ("Tanh", node => Sloped(node, node.Minus(node.Scalar(1), node.Times(node.Output, node.Output)))),
        ("Softplus", node => Sloped(node, node.Apply("Sigmoid", node.Input()))),
        ("Gelu", node => Sloped(node, Gelu(node))),
        ("Erf", node => Sloped(node, node.Times(node.Scalar(TwoOverSqrtPi), node.Apply("Exp", node.Apply("Neg", node.Times(node.Input(), node.Input())))))),
        ("Exp", node => Sloped(node, node.Output)),
        ("Log", node => node.Give(node.Over(node.Gradient, node.Input()))),
        ("Sqrt", node => node.Give(node.Over(node.Gradient, node.Times(node.Scalar(2), node.Output)))),
        ("Reciprocal", node => Sloped(node, node.Apply("Neg", node.Times(node.Output, node.Output)))),
        ("Abs", node => Sloped(node, node.Minus(node.IsPositive(node.Input()), node.IsPositive(node.Apply("Neg", node.Input()))))),
        ("Neg", node => node.Give(node.Apply("Neg", node.Gradient))),
        ("Identity", node => node.Give(node.Gradient)),
        ("Dropout", node => node.Give(node.Gradient)),
        ("Cast", node => node.Give(node.Gradient)),
        ("Add", Added),
        ("Sum", Added),
        ("Sub", Subtracted),
        ("Mul", Multiplied),
        ("Div", Divided),
        ("Pow", Raised),
        ("Max", Chosen),
        ("Min", Chosen),
        ("Where", Selected),
    ];

    static bool Sloped(Adjoint node, string slope) => node.Give(node.Times(node.Gradient, slope));

    /// <summary>One slope where the input is positive, another where it is not.</summary>
    static string Leaky(Adjoint node, string below, string above)
    {
        string isPositive = node.IsPositive(node.Input());
        return node.Plus(below, node.Times(isPositive, node.Minus(above, below)));
    }

    static string Between(Adjoint node, string value, double low, double high) =>
        node.Times(node.IsPositive(node.Minus(value, node.Scalar(low))), node.IsPositive(node.Minus(node.Scalar(high), value)));

    /// <summary>x·(x + 3)/6 between −3 and 3, then x: (2x + 3)/6, then 1.</summary>
    static string HardSwish(Adjoint node)
    {
        string inner = node.Over(node.Plus(node.Times(node.Scalar(2), node.Input()), node.Scalar(3)), node.Scalar(6));
        return node.Plus(node.Times(Between(node, node.Input(), -3, 3), inner), node.IsPositive(node.Minus(node.Input(), node.Scalar(3))));
    }

    /// <summary>Φ(x) + x·φ(x); its approximation by tanh has the same slope within 1e-3.</summary>
    static string Gelu(Adjoint node)
    {
        string x = node.Input();
        string cumulative = node.Times(node.Scalar(0.5), node.Plus(node.Scalar(1), node.Apply("Erf", node.Times(node.Scalar(SqrtHalf), x))));
        string density = node.Times(node.Scalar(InverseSqrt2Pi), node.Apply("Exp", node.Times(node.Scalar(-0.5), node.Times(x, x))));
        return node.Plus(cumulative, node.Times(x, density));
    }

    static bool Added(Adjoint node)
    {
        for (int i = 0; i < node.Node.Input.Count; i++)
        {
            if (node.Wants(i))
            {
                node.GiveSummed(i, node.Gradient);
            }
        }
        return true;
    }

    static bool Subtracted(Adjoint node)
    {
        if (node.Wants(0))
        {
            node.GiveSummed(0, node.Gradient);
        }
        if (node.Wants(1))
        {
            node.GiveSummed(1, node.Apply("Neg", node.Gradient));
        }
        return true;
    }

    static bool Multiplied(Adjoint node)
    {
        for (int i = 0; i < 2; i++)
        {
            if (node.Wants(i))
            {
                node.GiveSummed(i, node.Times(node.Gradient, node.Input(1 - i)));
            }
        }
        return true;
    }

    static bool Divided(Adjoint node)
    {
        string part = node.Over(node.Gradient, node.Input(1));
        if (node.Wants(0))
        {
            node.GiveSummed(0, part);
        }
        if (node.Wants(1))
        {
            node.GiveSummed(1, node.Apply("Neg", node.Times(part, node.Output)));
        }
        return true;
    }

    /// <summary>p·x^(p − 1), for an exponent that is not differentiated.</summary>
    static bool Raised(Adjoint node)
    {
        if (node.Wants(1) || !node.Trace.IsSingle(node.Input(1)))
        {
            return false;
        }
        string slope = node.Times(node.Input(1), node.Writer.Node("Pow", [node.Input(), node.Minus(node.Input(1), node.Scalar(1))]));
        node.GiveSummed(0, node.Times(node.Gradient, slope));
        return true;
    }

    /// <summary>The gradient goes to the operand that the output is.</summary>
    static bool Chosen(Adjoint node)
    {
        for (int i = 0; i < node.Node.Input.Count; i++)
        {
            if (node.Wants(i))
            {
                node.GiveSummed(i, node.Times(node.Gradient, node.AreEqual(node.Input(i), node.Output)));
            }
        }
        return true;
    }

    static bool Selected(Adjoint node)
    {
        for (int i = 1; i < 3; i++)
        {
            if (node.Wants(i))
            {
                string[] operands = [node.Input(), node.Gradient, node.Scalar(0)];
                node.GiveSummed(i, node.Writer.Node("Where", i == 1 ? operands : [operands[0], operands[2], operands[1]]));
            }
        }
        return true;
    }
}
