namespace MakeDigits;

/// <summary>AdamW (Loshchilov and Hutter, ICLR 2019) on the cross-entropy of the softmax, learning rate falling linearly to 0.</summary>
static class Trainer
{
    const int Chunks = 8, BatchSize = Chunks * Activations.Pictures;

    // Over 5,000 steps this decay shrinks the first weights to e^-1.9 of their size, so that what is left is what was learned.
    const float Rate = 1.5e-3f, WeightDecay = 0.5f, Beta1 = 0.9f, Beta2 = 0.999f, Epsilon = 1e-8f;

    /// <summary>Trains a network from random weights.</summary>
    /// <param name="seed">Of the first weights and of the order of the pictures.</param>
    /// <param name="report">Called after each epoch with its number (from 1) and the share of its pictures that were right when seen.</param>
    public static Network Train(DigitSet set, int epochs, uint seed, Action<int, double> report)
    {
        var rng = new Rng(seed);
        var network = new Network();
        foreach (var layer in network.Layers)
        {
            layer.Randomize(rng);
        }

        // A batch is cut into chunks whatever the number of threads, and the chunks' gradients are added in order.
        Network[] gradients = [.. Enumerable.Range(0, Chunks).Select(_ => new Network())];
        Activations[] works = [.. gradients.Select(_ => new Activations())];
        var adam = new Adam(network, gradients);

        int[] order = [.. Enumerable.Range(0, set.Count)];
        int batches = set.Count / BatchSize;
        for (int epoch = 0; epoch < epochs; epoch++)
        {
            Shuffle(order, rng);
            int right = 0;
            for (int batch = 0; batch < batches; batch++)
            {
                var transposed = (network.Conv2.Transposed(), network.Fc1.Transposed(), network.Fc2.Transposed());
                Parallel.For(0, Chunks, chunk =>
                {
                    var pictures = order.AsSpan(batch * BatchSize + chunk * Activations.Pictures, Activations.Pictures);
                    Interlocked.Add(ref right, Step(network, set, pictures, works[chunk], transposed, gradients[chunk]));
                });
                adam.Step(Rate * (1 - (epoch * batches + batch) / (float)(epochs * batches)));
            }
            report(epoch + 1, (double)right / (batches * BatchSize));
        }
        return network;
    }

    /// <summary>The gradient of the mean loss of one chunk's pictures, over the batch; returns how many were right.</summary>
    static int Step(
        Network network, DigitSet set, ReadOnlySpan<int> pictures, Activations work, (float[], float[], float[]) transposed, Network gradient)
    {
        for (int i = 0; i < pictures.Length; i++)
        {
            set.Picture(pictures[i]).CopyTo(work.Input(i));
        }
        network.Forward(work);
        int right = 0;
        for (int i = 0; i < pictures.Length; i++)
        {
            right += LossGradient(work.Logits.AsSpan(i * Network.Classes, Network.Classes), (int)set.Labels[pictures[i]]) ? 1 : 0;
        }
        Array.ForEach(gradient.Parameters, block => Array.Clear(block));
        network.Backward(work, transposed, gradient);
        return right;
    }

    /// <summary>Logits → (softmax − target) / batch size, in place; returns whether the largest was the right one.</summary>
    static bool LossGradient(Span<float> logits, int label)
    {
        float largest = logits[0];
        foreach (float logit in logits)
        {
            largest = Math.Max(largest, logit);
        }
        bool right = logits[label] == largest;

        double sum = 0;
        foreach (float logit in logits)
        {
            sum += Exp(logit - largest);
        }
        for (int i = 0; i < logits.Length; i++)
        {
            logits[i] = (float)((Exp(logits[i] - largest) / sum - (i == label ? 1 : 0)) / BatchSize);
        }
        return right;
    }

    /// <summary>eˣ for x ≤ 0 by its series, because the last bits of Math.Exp depend on the C library.</summary>
    static double Exp(double x)
    {
        const int Halvings = 10;
        double small = Math.Max(x, -80) / (1 << Halvings), power = 1;
        for (int term = 8; term > 0; term--)
        {
            power = 1 + power * small / term;
        }
        for (int i = 0; i < Halvings; i++)
        {
            power *= power;
        }
        return power;
    }

    static void Shuffle(int[] order, Rng rng)
    {
        for (int i = order.Length - 1; i > 0; i--)
        {
            int j = rng.Below(i + 1);
            (order[i], order[j]) = (order[j], order[i]);
        }
    }

    /// <summary>The moments of every parameter, and the update.</summary>
    sealed class Adam(Network network, Network[] gradients)
    {
        readonly float[][] _parameters = network.Parameters;
        readonly float[][][] _gradients = [.. gradients.Select(gradient => gradient.Parameters)];
        readonly float[][] _mean = new Network().Parameters, _square = new Network().Parameters;
        float _decayed1 = 1, _decayed2 = 1;

        /// <summary>Adds up the chunks' gradients and moves every parameter; only weights decay, biases do not.</summary>
        public void Step(float rate)
        {
            (_decayed1, _decayed2) = (_decayed1 * Beta1, _decayed2 * Beta2);
            for (int block = 0; block < _parameters.Length; block++)
            {
                float decay = block % 2 == 0 ? rate * WeightDecay : 0;
                const int Part = 1 << 14;
                int b = block, length = _parameters[b].Length;
                Parallel.For(0, (length + Part - 1) / Part, part =>
                {
                    int first = part * Part, count = Math.Min(Part, length - first);
                    Update(b, first, count, rate, decay);
                });
            }
        }

        void Update(int block, int first, int count, float rate, float decay)
        {
            var total = _gradients[0][block].AsSpan(first, count);
            for (int chunk = 1; chunk < _gradients.Length; chunk++)
            {
                Kernels.Add(_gradients[chunk][block].AsSpan(first, count), total);
            }
            var values = _parameters[block].AsSpan(first, count);
            var mean = _mean[block].AsSpan(first, count);
            var square = _square[block].AsSpan(first, count);
            float scale1 = 1 / (1 - _decayed1), scale2 = 1 / (1 - _decayed2);
            for (int i = 0; i < count; i++)
            {
                mean[i] = Beta1 * mean[i] + (1 - Beta1) * total[i];
                square[i] = Beta2 * square[i] + (1 - Beta2) * total[i] * total[i];
                values[i] -= rate * (mean[i] * scale1) / (MathF.Sqrt(square[i] * scale2) + Epsilon) + decay * values[i];
            }
        }
    }
}
