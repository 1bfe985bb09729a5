using Microsoft.ML.OnnxRuntime;
using OnnxLowRank.Calibration;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx;
using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;

namespace OnnxLowRank.Utilization;

/// <summary>
/// One layer's weight tried again and again: what lies before the layer has run once and is remembered, and one session runs the rest
/// with any weight.
/// </summary>
sealed class SuffixSession : IDisposable
{
    readonly ModelSession _session;
    readonly string[] _outputs;
    readonly Layer _layer;
    readonly Remembered? _remembered;
    readonly string _weightInput;
    readonly float[] _weight;
    readonly OrtValue _operand;

    SuffixSession(ModelSession session, string[] outputs, Layer layer, LayerCut cut, Remembered? remembered)
    {
        (_session, _outputs, _layer, _remembered, _weightInput) = (session, outputs, layer, remembered, cut.WeightInput);
        _weight = new float[layer.Elements];
        _operand = OrtValue.CreateTensorValueFromMemory(_weight, layer.Weight.Dims); // pinned until it is disposed
    }

    /// <summary>Whether only the suffix runs; otherwise the whole model does, for want of memory or because a value is no tensor.</summary>
    public bool IsCut => _remembered != null;

    /// <param name="samples">Those that will be asked for, in the runs that <paramref name="sampling"/> makes of them.</param>
    /// <param name="limit">Bytes that may be remembered.</param>
    /// <exception cref="ModelException">ONNX Runtime refuses a part of the model, or it fails.</exception>
    public static SuffixSession Open(
        OnnxModel model, Layer layer, LayerCut cut, string[] outputs, Device device, int threads, Sampling sampling, ReadOnlyMemory<int> samples, long limit)
    {
        Remembered? remembered = new(model, device, threads, sampling, samples, limit);
        ModelSession? session = null;
        try
        {
            if (!remembered.MoveTo(cut))
            {
                remembered = null;
            }
            session = ModelSession.Open(remembered == null ? cut.ToWholeModel() : cut.ToModel(remembered.Types), device, threads);
            return new(session, outputs, layer, cut, remembered);
        }
        catch
        {
            session?.Dispose();
            remembered?.Dispose();
            throw;
        }
    }

    /// <summary>Sets the weight of the runs that follow.</summary>
    /// <param name="weight">W (out, in), as <see cref="Layer.ReadWeight"/> gives it.</param>
    public void Set(Matrix weight) => _layer.OperandFor(weight).CopyTo(_weight, 0);

    /// <summary>The model's outputs for one of the runs, with the weight as it is set.</summary>
    public IDisposableReadOnlyCollection<OrtValue> Run(SampleRun run, ReadOnlyMemory<int> samples)
    {
        var more = _remembered == null ? [] : new Dictionary<string, OrtValue>(_remembered.Of(samples));
        more[_weightInput] = _operand;
        return _session.Run(run, _outputs, more);
    }

    public void Dispose()
    {
        _session.Dispose();
        _operand.Dispose();
        _remembered?.Dispose();
    }
}
