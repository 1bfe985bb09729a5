using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Layers;

/// <summary>Reads one node as y = W·x + b, together with the nodes behind it that only add to b or scale W's rows.</summary>
static class LayerReader
{
    /// <summary>The use, or null with the reason.</summary>
    /// <param name="weight">The node's weight; may be known even when the node is left alone.</param>
    public static LayerUse? Read(
        GraphIndex index, NodeProto node, bool inputsAreConstant, out Constant? weight, out LayerKind kind, out string reason)
    {
        kind = node.Is("Conv") ? LayerKind.Conv : node.Is("ConvTranspose") ? LayerKind.ConvTranspose : node.Is("Gemm") ? LayerKind.Gemm : node.Is("Gather") ? LayerKind.Gather : LayerKind.MatMul;
        weight = Constant.Find(index, node.InputOrEmpty(kind == LayerKind.Gather ? 0 : 1), inputsAreConstant, out reason);
        if (weight == null && kind == LayerKind.MatMul
            && Constant.Find(index, node.InputOrEmpty(0), inputsAreConstant, out string leftReason) is { } left)
        {
            (weight, kind, reason) = (left, LayerKind.LeftMatMul, leftReason);
        }
        if (weight == null)
        {
            return null;
        }
        long[] dims = weight.Dims;
        bool isConvolution = kind is LayerKind.Conv or LayerKind.ConvTranspose;
        bool fits = isConvolution ? dims.Length is >= 3 and <= 5 : dims.Length == 2;
        if (!fits)
        {
            reason = $"its weight has rank {dims.Length}";
            return null;
        }
        if (kind == LayerKind.Conv)
        {
            long groups = node.Int("group", 1);
            if (groups < 1 || dims[0] % groups != 0)
            {
                throw new ModelException($"node {GraphOrder.Describe(node)}: {dims[0]} output channels cannot be split into {groups} groups");
            }
        }
        if (kind == LayerKind.ConvTranspose && node.Int("group", 1) != 1)
        {
            reason = $"a ConvTranspose in {node.Int("group", 1)} groups";
            return null;
        }
        return kind switch
        {
            LayerKind.Conv or LayerKind.ConvTranspose => ReadConv(index, node, weight, inputsAreConstant, out reason),
            LayerKind.Gemm => ReadGemm(index, node, dims, inputsAreConstant),
            LayerKind.Gather => ReadGather(node, out reason),
            _ => ReadMatMul(index, node, dims, kind, inputsAreConstant),
        };
    }

    static LayerUse ReadMatMul(GraphIndex index, NodeProto node, long[] dims, LayerKind kind, bool inputsAreConstant)
    {
        bool isLeft = kind == LayerKind.LeftMatMul;
        long channels = isLeft ? dims[0] : dims[1];
        var use = new LayerUse(node, [], node.Input[isLeft ? 1 : 0], node.Output[0], null, null);
        return AbsorbAdd(index, use, inputsAreConstant, bias => isLeft
            ? bias.Dims is [var rows, 1] && rows == channels
            : bias.Dims is [var cols] && cols == channels, channels);
    }

    static LayerUse? ReadGather(NodeProto node, out string reason)
    {
        bool picksRows = node.Int("axis", 0) is 0 or -2;
        reason = picksRows ? "" : "it picks columns of its table, not rows";
        return picksRows ? new(node, [], node.Input[1], node.Output[0], null, null) : null;
    }

    static LayerUse ReadGemm(GraphIndex index, NodeProto node, long[] dims, bool inputsAreConstant)
    {
        bool transB = node.Int("transB", 0) != 0;
        long channels = transB ? dims[0] : dims[1];
        float beta = node.Float("beta", 1);
        string c = node.InputOrEmpty(2);
        var use = new LayerUse(node, [], node.Input[0], node.Output[0], null, null)
        {
            Alpha = node.Float("alpha", 1),
            TransA = node.Int("transA", 0) != 0,
            TransB = transB,
        };
        if (c.Length == 0 || beta == 0)
        {
            return AbsorbAdd(index, use, inputsAreConstant, add => add.Dims is [var cols] && cols == channels, channels);
        }
        var bias = Constant.Find(index, c, inputsAreConstant, out _);
        return bias != null && IsRow(bias, channels)
            ? use with { Bias = Spread(bias, channels, beta) }
            : use with { Addend = c, Beta = beta };
    }

    static LayerUse? ReadConv(GraphIndex index, NodeProto node, Constant weight, bool inputsAreConstant, out string reason)
    {
        reason = "";
        long[] dims = weight.Dims;
        long channels = node.Is("Conv") ? dims[0] : dims[1];
        double[]? bias = null;
        string biasName = node.InputOrEmpty(2);
        if (biasName.Length > 0)
        {
            var constant = Constant.Find(index, biasName, inputsAreConstant, out _);
            if (constant == null)
            {
                reason = $"its bias '{biasName}' is not constant";
                return null;
            }
            if (constant.Dims is not [var length] || length != channels)
            {
                throw new ModelException($"node {GraphOrder.Describe(node)}: a bias of [{string.Join(',', constant.Dims)}] for {channels} output channels");
            }
            bias = Spread(constant, channels, 1);
        }
        var use = new LayerUse(node, [], node.Input[0], node.Output[0], bias, null);
        use = AbsorbAdd(index, use, inputsAreConstant, add => PerChannel(add, channels, dims.Length), channels);
        use = AbsorbBatchNormalization(index, use, inputsAreConstant, channels);
        use = AbsorbAdd(index, use, inputsAreConstant, add => PerChannel(add, channels, dims.Length), channels);
        // What follows a layer of another type computes in that type: behind the Cast that ends the integers.
        bool clipped = weight.Type == TensorProto.Types.DataType.Float && index.OnlyReader(use.Output) is { } reader && (reader.Is("Relu") || reader.Is("Clip"));
        return use with { Activation = clipped ? index.OnlyReader(use.Output)!.Output[0] : use.Output };
    }

    /// <summary>(C, 1, 1) or (1, C, 1, 1) for a Conv over two axes.</summary>
    static bool PerChannel(Constant add, long channels, int rank)
    {
        int axis = add.Dims.Length - (rank - 1);
        return axis is 0 or 1 && add.Dims.Select((dim, i) => dim == (i == axis ? channels : 1)).All(holds => holds);
    }

    /// <summary>Whether Gemm's C is one number, one per channel, or a row of these.</summary>
    static bool IsRow(Constant bias, long channels) =>
        bias.Dims.Length == 0 || (bias.Dims.Length == 1 || bias.Dims is [1, _]) && (bias.Dims[^1] == 1 || bias.Dims[^1] == channels);

    static double[] Spread(Constant bias, long channels, double factor)
    {
        float[] values = bias.Read();
        return [.. Enumerable.Range(0, (int)channels).Select(i => factor * values[values.Length == 1 ? 0 : i])];
    }

    static LayerUse AbsorbAdd(GraphIndex index, LayerUse use, bool inputsAreConstant, Func<Constant, bool> isBias, long channels)
    {
        if (index.OnlyReader(use.Output) is not { } add || !add.Is("Add") || add.Input.Count != 2 || add.Input[0] == add.Input[1])
        {
            return use;
        }
        string other = add.Input[0] == use.Output ? add.Input[1] : add.Input[0];
        var constant = Constant.Find(index, other, inputsAreConstant, out _);
        if (constant == null || !isBias(constant))
        {
            return use;
        }
        double[] bias = Spread(constant, channels, 1);
        for (int i = 0; i < bias.Length; i++)
        {
            bias[i] += use.Bias?[i] ?? 0;
        }
        return use with { Absorbed = [.. use.Absorbed, add], Output = add.Output[0], Activation = add.Output[0], Bias = bias };
    }

    /// <summary>
    /// BatchNormalization in inference form: y·s + (β − µ·s) with s = γ/√(σ² + ε) per channel, so W's rows are multiplied by s.
    /// Source: the operator's page, outputs of inference mode.
    /// </summary>
    static LayerUse AbsorbBatchNormalization(GraphIndex index, LayerUse use, bool inputsAreConstant, long channels)
    {
        if (index.OnlyReader(use.Output) is not { } norm || !norm.Is("BatchNormalization") || norm.Input.Count < 5
            || norm.Input[0] != use.Output || norm.Int("training_mode", 0) != 0 || norm.Int("spatial", 1) != 1
            || norm.Output.Skip(1).Any(output => output.Length > 0 && (index.Readers(output).Count > 0 || index.IsOutput(output))))
        {
            return use;
        }
        var constants = norm.Input.Skip(1).Take(4).Select(name => Constant.Find(index, name, inputsAreConstant, out _)).ToArray();
        if (constants.Any(constant => constant == null || constant.Dims is not [var length] || length != channels))
        {
            return use;
        }
        float[][] values = Array.ConvertAll(constants, constant => constant!.Read());
        (float[] gamma, float[] beta, float[] mean, float[] variance) = (values[0], values[1], values[2], values[3]);
        double epsilon = norm.Float("epsilon", 1e-5f);

        var scale = new double[channels];
        var bias = new double[channels];
        for (int i = 0; i < scale.Length; i++)
        {
            scale[i] = gamma[i] / Math.Sqrt(variance[i] + epsilon);
            bias[i] = beta[i] + ((use.Bias?[i] ?? 0) - mean[i]) * scale[i];
        }
        if (!Array.TrueForAll(scale, double.IsFinite) || !Array.TrueForAll(bias, double.IsFinite))
        {
            return use; // a variance below zero, say: the node answers for that itself
        }
        return use with { Absorbed = [.. use.Absorbed, norm], Output = norm.Output[0], Bias = bias, OutScale = scale };
    }
}
