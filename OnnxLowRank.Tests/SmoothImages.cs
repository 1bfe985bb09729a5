namespace OnnxLowRank.Tests;

/// <summary>Images in which neighbours are alike, as in real ones: random numbers, averaged over 5×5.</summary>
static class SmoothImages
{
    public const int Size = 12;

    const int Reach = 2;

    /// <param name="mean">Of all pixels.</param>
    /// <param name="shared">How much of what all channels show, each of them a pixel further to the right, there is beside what one alone does.</param>
    public static Feed Of(string name, int count, int channels, float mean = 0, float shared = 0)
    {
        int wide = Size + 2 * Reach + channels;
        float[] own = TinyModel.Random([count * channels, wide, wide], seed: 5), common = TinyModel.Random([count, wide, wide], seed: 6);
        float[] values = new float[count * channels * Size * Size];
        Array.Fill(values, mean);
        for (int i = 0; i < values.Length; i++)
        {
            (int image, int y, int x) = (i / (Size * Size), i / Size % Size, i % Size);
            for (int v = 0; v <= 2 * Reach; v++)
            {
                for (int u = 0; u <= 2 * Reach; u++)
                {
                    values[i] += own[(image * wide + y + v) * wide + x + u] + shared * common[(image / channels * wide + y + v) * wide + x + u + image % channels];
                }
            }
        }
        return new(name, values, channels, Size, Size);
    }
}
