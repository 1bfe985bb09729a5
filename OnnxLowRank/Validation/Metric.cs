namespace OnnxLowRank.Validation;

/// <summary>What is measured at a model's outputs, always against the original model on the same samples.</summary>
public enum Metric
{
    /// <summary>Share of right answers lost, by the user's labels.</summary>
    Accuracy,

    /// <summary>Share of samples on which the most likely class differs from the original's.</summary>
    Agreement,

    /// <summary>Relative growth of exp(mean negative log-likelihood of the next token).</summary>
    Perplexity,

    /// <summary>Mean Kullback–Leibler divergence of the predicted distribution from the original's, in nats.</summary>
    Kl,

    /// <summary>Mean of 1 − cosine between outputs.</summary>
    Cosine,

    /// <summary>‖Δy‖/‖y‖ over all samples; of several outputs, the worst.</summary>
    Relative,
}

/// <summary>How much worse a model is than the original on some samples.</summary>
/// <param name="Estimate">The loss, in the metric's units; 0 = as good.</param>
/// <param name="Low">Lower end of its confidence interval.</param>
/// <param name="High">Upper end.</param>
/// <param name="Original">The metric of the original: accuracy or perplexity; 0 for metrics that compare outputs directly.</param>
/// <param name="Compressed">The metric of the compressed model, likewise.</param>
/// <param name="Samples">Samples it was measured on.</param>
public sealed record Loss(double Estimate, double Low, double High, double Original, double Compressed, int Samples);
