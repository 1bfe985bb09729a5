using System.Runtime.InteropServices;
using OnnxLowRank.Samples;
using DataType = OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType;

namespace OnnxLowRank.Tests.Samples;

public class ElementValuesTests
{
    /// <summary>Lengths around any vector width, so that the vector loop and its rest both meet the value in every place.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(16)]
    [InlineData(67)]
    public void Unusable_float_is_found_wherever_it_is(int length)
    {
        for (int at = 0; at < length; at++)
        {
            Check(DataType.Float, new float[length], at, float.NaN, float.NegativeInfinity);
            Check(DataType.Double, new double[length], at, double.NaN, double.PositiveInfinity);
            Check(DataType.Float16, new Half[length], at, Half.NaN, Half.NegativeInfinity);
            Check<ushort>(DataType.Bfloat16, new ushort[length], at, 0x7FC0, 0xFF80);
            Check<byte>(DataType.Bool, new byte[length], at, 2, 255);
        }
    }

    [Fact]
    public void Largest_and_smallest_numbers_are_usable()
    {
        Assert.Equal(-1, First(DataType.Float, [float.MaxValue, float.MinValue, float.Epsilon, -0f]));
        Assert.Equal(-1, First(DataType.Double, [double.MaxValue, double.MinValue, double.Epsilon]));
        Assert.Equal(-1, First(DataType.Float16, [Half.MaxValue, Half.MinValue, Half.Epsilon]));
        Assert.Equal(-1, First(DataType.Bool, new byte[] { 0, 1 }));
        Assert.Equal(-1, First(DataType.Int64, [long.MinValue, -1]));
    }

    [Fact]
    public void Unusable_values_are_told_in_words()
    {
        Assert.Equal("NaN", ElementValues.Text(DataType.Bfloat16, [0, 0, 0xC0, 0x7F], 1));
        Assert.Equal("-Infinity", ElementValues.Text(DataType.Float16, [0x00, 0xFC], 0));
        Assert.Equal("2", ElementValues.Text(DataType.Bool, [1, 2], 1));
    }

    [Fact]
    public void Conversion_ignores_what_is_behind_its_values()
    {
        float[] target = [0, 0, float.NaN];   // a padded batch in a buffer that was used before

        int misfit = ElementValues.Convert(DataType.Double, DataType.Float, MemoryMarshal.AsBytes<double>([1, 2]), MemoryMarshal.AsBytes(target.AsSpan()));

        Assert.Equal(-1, misfit);
        Assert.Equal([1f, 2, float.NaN], target);
    }

    /// <summary>1/3 is 0x3555 in float16 and 0x3EAB in bfloat16, rounded to the nearest.</summary>
    [Theory]
    [InlineData((int)DataType.Float16, 0x3555)]
    [InlineData((int)DataType.Bfloat16, 0x3EAB)]
    public void Floats_become_the_nearest_of_16_bits(int type, int third)
    {
        foreach (var from in new[] { DataType.Float, DataType.Double })
        {
            ushort[] target = [0, 0, 7];
            var source = from == DataType.Float ? MemoryMarshal.AsBytes<float>([1, 1f / 3]) : MemoryMarshal.AsBytes<double>([1, 1.0 / 3]);

            Assert.True(ElementValues.CanConvert(from, (DataType)type));
            Assert.Equal(-1, ElementValues.Convert(from, (DataType)type, source, MemoryMarshal.AsBytes(target.AsSpan())));
            Assert.Equal(((ushort)third, (ushort)7), (target[1], target[2]));
        }
    }

    [Fact]
    public void A_float_beyond_float16_is_no_number_for_it()
    {
        var target = new ushort[2];

        Assert.Equal(1, ElementValues.Convert(DataType.Float, DataType.Float16, MemoryMarshal.AsBytes<float>([65504, 70000]), MemoryMarshal.AsBytes(target.AsSpan())));
    }

    static void Check<T>(DataType type, T[] values, int at, params T[] unusable) where T : unmanaged
    {
        foreach (var value in unusable)
        {
            values[at] = value;
            Assert.Equal(at, First(type, values));
        }
    }

    static int First<T>(DataType type, T[] values) where T : unmanaged => ElementValues.FirstUnusable(type, MemoryMarshal.AsBytes<T>(values));
}
