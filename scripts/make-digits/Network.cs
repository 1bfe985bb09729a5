using System.Numerics.Tensors;

namespace MakeDigits;

/// <summary>A layer that multiplies: y = x · Weight + Bias for every row x (a picture, or a patch of one).</summary>
/// <param name="Name">Of the ONNX node.</param>
/// <param name="Pixels">Places a row of inputs covers: those of the kernel, those of the picture before fc1, 1 for fc2.</param>
/// <param name="Channels">Inputs per place, next to each other in a row.</param>
/// <param name="Out">Outputs per row, the channels of the next layer.</param>
sealed record Layer(string Name, int Pixels, int Channels, int Out)
{
    public int In => Pixels * Channels;

    /// <summary>(Pixels, Channels, Out) = (In, Out), the last fastest.</summary>
    public float[] Weight { get; } = new float[Pixels * Channels * Out];

    public float[] Bias { get; } = new float[Out];

    /// <summary>Uniform with variance 2 / In (He et al. 2015), zero bias.</summary>
    public void Randomize(Rng rng)
    {
        double limit = Math.Sqrt(6.0 / In);
        for (int i = 0; i < Weight.Length; i++)
        {
            Weight[i] = (float)rng.Uniform(-limit, limit);
        }
    }

    public void Forward(ReadOnlySpan<float> x, Span<float> y)
    {
        Kernels.FillRows(Bias, y);
        Kernels.MultiplyAdd(y.Length / Out, Out, In, x, In, 1, Weight, y);
    }

    /// <summary>Adds this layer's share of the gradient: xᵀ · dy and the sum of the rows of dy.</summary>
    public void AddGradient(ReadOnlySpan<float> x, ReadOnlySpan<float> dy, Layer gradient)
    {
        Kernels.MultiplyAdd(In, Out, dy.Length / Out, x, 1, In, dy, gradient.Weight);
        Kernels.AddRows(dy, gradient.Bias);
    }

    /// <summary>dx = dy · Weightᵀ.</summary>
    /// <param name="transposed">Weightᵀ, (Out, In).</param>
    public void Back(ReadOnlySpan<float> dy, ReadOnlySpan<float> transposed, Span<float> dx)
    {
        dx.Clear();
        Kernels.MultiplyAdd(dy.Length / Out, In, Out, dy, Out, 1, transposed, dx);
    }

    /// <summary>Weightᵀ, (Out, In), a copy.</summary>
    public float[] Transposed()
    {
        var transposed = new float[Weight.Length];
        for (int i = 0; i < Weight.Length; i++)
        {
            transposed[i % Out * In + i / Out] = Weight[i];
        }
        return transposed;
    }
}

/// <summary>conv1 5·5 (1→32) · ReLU · pool · conv2 5·5 (32→64) · ReLU · pool · fc1 (1600→160) · ReLU · fc2 (160→10).</summary>
sealed class Network
{
    public const int Kernel = 5, Pad1 = 2, Classes = 10;
    public const int Side1 = Painter.Side, Channels1 = 32;
    public const int Side2 = Side1 / 2, OutSide2 = Side2 - Kernel + 1, Channels2 = 64;
    public const int Side3 = OutSide2 / 2, Features = Side3 * Side3 * Channels2, Hidden = 160;

    public Layer Conv1 { get; } = new("conv1", Kernel * Kernel, 1, Channels1);

    public Layer Conv2 { get; } = new("conv2", Kernel * Kernel, Channels1, Channels2);

    public Layer Fc1 { get; } = new("fc1", Side3 * Side3, Channels2, Hidden);

    public Layer Fc2 { get; } = new("fc2", 1, Hidden, Classes);

    public Layer[] Layers => [Conv1, Conv2, Fc1, Fc2];

    /// <summary>Every block of numbers to train, in a fixed order: weight and bias of each layer.</summary>
    public float[][] Parameters => [.. Layers.SelectMany(layer => new[] { layer.Weight, layer.Bias })];

    /// <summary>The share of pictures whose largest logit is the right one.</summary>
    public double Accuracy(DigitSet set)
    {
        int right = 0;
        Parallel.For(0, (set.Count + Activations.Pictures - 1) / Activations.Pictures, () => new Activations(), (chunk, _, work) =>
        {
            int first = chunk * Activations.Pictures, count = Math.Min(Activations.Pictures, set.Count - first);
            for (int i = 0; i < count; i++)
            {
                set.Picture(first + i).CopyTo(work.Input(i));
            }
            Forward(work);
            for (int i = 0; i < count; i++)
            {
                var logits = work.Logits.AsSpan(i * Classes, Classes);
                if (TensorPrimitives.IndexOfMax(logits) == set.Labels[first + i])
                {
                    Interlocked.Increment(ref right);
                }
            }
            return work;
        }, _ => { });
        return (double)right / set.Count;
    }

    /// <summary>Fills <paramref name="work"/> from its input pictures up to the logits.</summary>
    public void Forward(Activations work)
    {
        for (int i = 0; i < Activations.Pictures; i++)
        {
            Kernels.Patches(work.Input(i), Side1, 1, Kernel, Pad1, work.Patches1);
            Conv1.Forward(work.Patches1, work.Conv1(i));
            Kernels.ReluPool(work.Conv1(i), Side1, Channels1, work.Pool1(i));

            Kernels.Patches(work.Pool1(i), Side2, Channels1, Kernel, 0, work.Patches2);
            Conv2.Forward(work.Patches2, work.Conv2(i));
            Kernels.ReluPool(work.Conv2(i), OutSide2, Channels2, work.Pool2(i));
        }
        Fc1.Forward(work.Pooled2, work.HiddenValues);
        TensorPrimitives.Max(work.HiddenValues, 0, work.HiddenValues);
        Fc2.Forward(work.HiddenValues, work.Logits);
    }

    /// <summary>
    /// After <see cref="Forward"/>: adds the gradient of the loss to <paramref name="gradient"/>. <c>work.Logits</c> holds the
    /// gradient with respect to the logits; the other activations are overwritten on the way.
    /// </summary>
    /// <param name="transposed">Weightᵀ of conv2, fc1 and fc2.</param>
    public void Backward(Activations work, (float[] Conv2, float[] Fc1, float[] Fc2) transposed, Network gradient)
    {
        Fc2.AddGradient(work.HiddenValues, work.Logits, gradient.Fc2);
        Fc2.Back(work.Logits, transposed.Fc2, work.HiddenGradient);
        for (int i = 0; i < work.HiddenGradient.Length; i++)
        {
            work.HiddenGradient[i] = work.HiddenValues[i] > 0 ? work.HiddenGradient[i] : 0;
        }
        Fc1.AddGradient(work.Pooled2, work.HiddenGradient, gradient.Fc1);
        Fc1.Back(work.HiddenGradient, transposed.Fc1, work.Pooled2Gradient);

        for (int i = 0; i < Activations.Pictures; i++)
        {
            var dPool2 = work.Pooled2Gradient.AsSpan(i * Features, Features);
            Kernels.ReluPoolBack(work.Pool2(i), dPool2, OutSide2, Channels2, work.Conv2(i));
            Kernels.Patches(work.Pool1(i), Side2, Channels1, Kernel, 0, work.Patches2);
            Conv2.AddGradient(work.Patches2, work.Conv2(i), gradient.Conv2);
            Conv2.Back(work.Conv2(i), transposed.Conv2, work.Patches2);
            Array.Clear(work.Pool1Gradient);
            Kernels.AddPatches(work.Patches2, Side2, Channels1, Kernel, work.Pool1Gradient);

            Kernels.ReluPoolBack(work.Pool1(i), work.Pool1Gradient, Side1, Channels1, work.Conv1(i));
            Kernels.Patches(work.Input(i), Side1, 1, Kernel, Pad1, work.Patches1);
            Conv1.AddGradient(work.Patches1, work.Conv1(i), gradient.Conv1);
        }
    }
}

/// <summary>The values between the layers for a few pictures: what one thread works on. Channels last, picture after picture.</summary>
sealed class Activations
{
    /// <summary>Pictures worked on together.</summary>
    public const int Pictures = 8;

    readonly float[] _inputs = new float[Pictures * DigitSet.PictureSize];
    readonly float[] _conv1 = new float[Pictures * Network.Side1 * Network.Side1 * Network.Channels1];
    readonly float[] _pool1 = new float[Pictures * Network.Side2 * Network.Side2 * Network.Channels1];
    readonly float[] _conv2 = new float[Pictures * Network.OutSide2 * Network.OutSide2 * Network.Channels2];

    public float[] Pooled2 { get; } = new float[Pictures * Network.Features];

    public float[] Pooled2Gradient { get; } = new float[Pictures * Network.Features];

    public float[] HiddenValues { get; } = new float[Pictures * Network.Hidden];

    public float[] HiddenGradient { get; } = new float[Pictures * Network.Hidden];

    public float[] Logits { get; } = new float[Pictures * Network.Classes];

    // Of the picture being worked on.
    public float[] Patches1 { get; } = new float[Network.Side1 * Network.Side1 * Network.Kernel * Network.Kernel];

    public float[] Patches2 { get; } = new float[Network.OutSide2 * Network.OutSide2 * Network.Kernel * Network.Kernel * Network.Channels1];

    public float[] Pool1Gradient { get; } = new float[Network.Side2 * Network.Side2 * Network.Channels1];

    public Span<float> Input(int i) => Part(_inputs, i);

    public Span<float> Conv1(int i) => Part(_conv1, i);

    public Span<float> Pool1(int i) => Part(_pool1, i);

    public Span<float> Conv2(int i) => Part(_conv2, i);

    public Span<float> Pool2(int i) => Part(Pooled2, i);

    static Span<float> Part(float[] values, int i) => values.AsSpan(i * (values.Length / Pictures), values.Length / Pictures);
}
