using System.Numerics;

namespace OnnxLowRank.Calibration;

/// <summary>
/// Sums kept as high + low, two doubles each: about 32 digits. What is added in another order, or in parts that are added up later, differs so
/// little that it is gone when high + low is rounded to a double.
/// </summary>
static class WideSums
{
    /// <summary>Adds values to sums, element by element: high takes the rounded sum, low what the rounding lost (Knuth's two-sum).</summary>
    public static void Add(ReadOnlySpan<double> values, Span<double> high, Span<double> low)
    {
        int i = 0;
        for (; i + Vector<double>.Count <= values.Length; i += Vector<double>.Count)
        {
            Vector<double> value = new(values[i..]), old = new(high[i..]);
            var sum = old + value;
            var added = sum - old;
            (new Vector<double>(low[i..]) + ((old - (sum - added)) + (value - added))).CopyTo(low[i..]);
            sum.CopyTo(high[i..]);
        }
        for (; i < values.Length; i++)
        {
            double old = high[i], sum = old + values[i], added = sum - old;
            low[i] += (old - (sum - added)) + (values[i] - added);
            high[i] = sum;
        }
    }
}
