using OnnxLowRank.Onnx;
using static OnnxLowRank.Onnx.Proto.TensorProto.Types;
using static OnnxLowRank.Tests.Layers.Finding;

namespace OnnxLowRank.Tests.Layers;

/// <summary>Which values are known before the model runs, and how they are read.</summary>
public class ConstantTests
{
    [Theory]
    [InlineData("Constant")]
    [InlineData("Identity")]
    [InlineData("Transpose")]
    [InlineData("Transpose without perm")]
    [InlineData("Cast from float16")]
    [InlineData("Cast from float64")]
    [InlineData("Reshape")]
    [InlineData("Reshape with 0 and -1")]
    [InlineData("all of them")]
    public void A_weight_may_be_made_of_a_constant(string how)
    {
        var model = Model();
        float[] values = TinyModel.Random([24, 16], 1);
        float[] transposed = [.. Enumerable.Range(0, 24 * 16).Select(i => values[i % 24 * 16 + i / 24])];
        switch (how)
        {
            case "Constant":
                model.Node("Constant", [], "w", ("value", TensorData.Floats("", values, 24, 16)));
                break;
            case "Identity":
                model.Node("Identity", [model.Floats("stored", values, 24, 16)], "w");
                break;
            case "Transpose":
                model.Node("Transpose", [model.Floats("stored", transposed, 16, 24)], "w", ("perm", new long[] { 1, 0 }));
                break;
            case "Transpose without perm":
                model.Node("Transpose", [model.Floats("stored", transposed, 16, 24)], "w");
                break;
            case "Cast from float16":
                Half[] halves = Array.ConvertAll(values, value => (Half)value);
                values = Array.ConvertAll(halves, half => (float)half);
                model.Node("Cast", [model.Tensor(TensorData.Create<Half>("stored", DataType.Float16, halves, 24, 16))], "w", ("to", 1));
                break;
            case "Cast from float64":
                model.Node("Cast", [model.Tensor(TensorData.Create<double>("stored", DataType.Double, Array.ConvertAll(values, value => (double)value), 24, 16))], "w", ("to", 1));
                break;
            case "Reshape":
                model.Node("Reshape", [model.Floats("stored", values, 2, 12, 16), model.Ints("shape", 24, 16)], "w");
                break;
            case "Reshape with 0 and -1":
                model.Node("Reshape", [model.Floats("stored", values, 24, 4, 4), model.Ints("shape", 0, -1)], "w");
                break;
            default:
                model.Node("Constant", [], "stored", ("value", TensorData.Floats("", transposed, 4, 4, 24)));
                model.Node("Constant", [], "shape", ("value", TensorData.Int64s("", [-1, 24])));
                model.Node("Reshape", ["stored", "shape"], "flat");
                model.Node("Cast", ["flat"], "cast", ("to", 1));
                model.Node("Identity", ["cast"], "same");
                model.Node("Transpose", ["same"], "w");
                break;
        }
        model.Node("MatMul", ["x", "w"], "y");

        var layer = OnlyLayerOf(model);

        Assert.Equal((16, 24), (layer.Out, layer.In));
        Assert.All(Enumerable.Range(0, 24 * 16), i => Assert.Equal(values[i], layer.ReadWeight()[i % 16, i / 16]));
    }

    [Fact]
    public void A_Transpose_may_permute_any_axes()
    {
        var model = new TinyModel();
        model.Input("x", null, 5, 9, 9);
        model.Node("Transpose", [model.Weight("stored", 3, 2, 12, 5)], "w", ("perm", new long[] { 2, 3, 1, 0 })); // → (12, 5, 2, 3)
        model.Node("Conv", ["x", "w"], "y");

        var layer = OnlyLayerOf(model);

        Assert.Equal([12, 5, 2, 3], layer.Weight.Dims);
        // w[o, i, h, v] = stored[v, h, o, i], here o = 7, i = 4, h = 1, v = 2
        Assert.Equal(model.Graph.Initializer[0].ToFloats()[((2 * 2 + 1) * 12 + 7) * 5 + 4], layer.ReadWeight()[7, (4 * 2 + 1) * 3 + 2]);
    }

    [Fact]
    public void A_Reshape_counts_in_models_whose_constants_must_be_listed_as_inputs()
    {
        var model = Model(opset: 8, ir: 3);
        model.Node("Reshape", [model.Weight("stored", 2, 12, 16), model.Ints("shape", 24, 16)], "w");
        model.Node("MatMul", ["x", "w"], "y");

        Assert.Equal(24, OnlyLayerOf(model).In);
    }

    [Fact]
    public void A_weight_that_is_rounded_to_integers_on_its_way_is_left_alone()
    {
        var model = Model();
        model.Node("Cast", [model.Weight("stored", 24, 16)], "rounded", ("to", (int)DataType.Int32));
        model.Node("Cast", ["rounded"], "w", ("to", 1));
        model.Node("MatMul", ["x", "w"], "y");

        AssertLeftAlone(Find(model), "its weight is cast to int32, which rounds it");
    }

    /// <summary>π is 3.140625 in both.</summary>
    [Theory]
    [InlineData((int)DataType.Float16)]
    [InlineData((int)DataType.Bfloat16)]
    public void A_weight_that_goes_through_a_narrow_type_is_read_as_it_arrives(int type)
    {
        var model = Model();
        float[] values = new float[24 * 16];
        values[5 * 16 + 3] = MathF.PI;
        model.Node("Cast", [model.Floats("stored", values, 24, 16)], "rounded", ("to", type));
        model.Node("Cast", ["rounded"], "w", ("to", 1));
        model.Node("MatMul", ["x", "w"], "y");

        var layer = OnlyLayerOf(model);

        Assert.Equal(3.140625, layer.ReadWeight()[3, 5]);
        Assert.Equal((DataType.Float, (DataType)type, 2), (layer.Type, layer.StoredType, layer.BytesPerFloat));
    }

    [Theory]
    [InlineData((int)DataType.Float16, 2)]
    [InlineData((int)DataType.Bfloat16, 2)]
    [InlineData((int)DataType.Double, 8)]
    public void Weights_of_other_types_of_floats_are_layers(int type, int bytes)
    {
        var model = Model();
        float[] values = TinyModel.Random([24, 16], 1);
        model.Tensor(TensorData.Reals("w", (DataType)type, values, 24, 16));
        model.Tensor(TensorData.Reals("b", (DataType)type, values.AsSpan(0, 16), 16));
        model.Node("MatMul", ["x", "w"], "y");
        model.Node("Add", ["y", "b"], "z");

        var layer = OnlyLayerOf(model);

        Assert.Equal(((DataType)type, (DataType)type, bytes), (layer.Type, layer.StoredType, layer.BytesPerFloat));
        Assert.Equal(bytes * (24 * 16 + 16), layer.Bytes);
        Assert.Equal(values[5 * 16 + 3], layer.ReadWeight()[3, 5], 0.02);
    }

    [Fact]
    public void Weights_of_integers_are_left_alone()
    {
        var model = Model();
        model.Tensor(TensorData.Create<int>("w", DataType.Int32, new int[24 * 16], 24, 16));
        model.Node("MatMul", ["x", "w"], "y");

        AssertLeftAlone(Find(model), "its weight is int32: no floats");
    }

    [Fact]
    public void Activations_on_both_sides_are_left_alone_with_what_made_them()
    {
        var model = Model();
        model.Node("Relu", ["x"], "r");
        model.Node("MatMul", ["x", "r"], "y");
        model.Node("MatMul", ["r", "x"], "z");
        model.Outputs("y", "z");

        AssertLeftAlone(Find(model), "its weight is computed by 'r_node' (Relu)", "its weight 'x' is a graph input");
    }

    [Fact]
    public void A_weight_in_8_bits_behind_DequantizeLinear_is_quantized_already()
    {
        var model = Model();
        model.Tensor(TensorData.Create<sbyte>("w8", DataType.Int8, new sbyte[24 * 64], 24, 64));
        model.Node("DequantizeLinear", ["w8", model.Floats("scale", [0.1f])], "w");
        model.Node("MatMul", ["x", "w"], "y");

        AssertLeftAlone(Find(model), "its weight 'w8' is quantized to int8 already");
    }

    [Fact]
    public void Before_IR_4_a_listed_initializer_is_constant()
    {
        var model = Model(ir: 3);
        model.Node("Gemm", ["x", model.Weight("w", 24, 16), model.Weight("c", 16)], "y");

        Assert.NotNull(OnlyLayer(Find(model, listInitializers: true)).Uses[0].Bias);
    }

    [Fact]
    public void From_IR_4_on_a_listed_initializer_may_be_overridden()
    {
        var model = Model(ir: 4);
        model.Node("MatMul", ["x", model.Weight("w", 24, 16)], "y");

        AssertLeftAlone(Find(model, listInitializers: true),
            "its weight 'w' is also a graph input, which a caller may override; --constant-inputs says that none does");
    }

    [Fact]
    public void Constant_inputs_says_that_listed_initializers_are_constant()
    {
        var model = Model(ir: 8);
        model.Node("MatMul", ["x", model.Weight("w", 24, 16)], "y");

        OnlyLayer(Find(model, new(ConstantInputs: true), listInitializers: true));
    }
}
