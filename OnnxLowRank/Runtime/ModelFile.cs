using Microsoft.ML.OnnxRuntime;
using OnnxLowRank.Samples;

namespace OnnxLowRank.Runtime;

/// <summary>A model file that ONNX Runtime has loaded as it is deployed, one of several: what goes wrong names the file.</summary>
sealed class ModelFile : IDisposable
{
    ModelFile(string path, ModelSession session) => (Path, Session) = (path, session);

    /// <summary>As the user typed it.</summary>
    public string Path { get; }

    public ModelSession Session { get; }

    /// <exception cref="ModelException">ONNX Runtime refuses the model.</exception>
    public static ModelFile Open(string path, Device device, int threads) => new(path, Naming(path, () => ModelSession.Open(path, device, threads)));

    /// <inheritdoc cref="ModelSession.Run"/>
    public IDisposableReadOnlyCollection<OrtValue> Run(SampleRun samples, IReadOnlyCollection<string> outputs) => Naming(Path, () => Session.Run(samples, outputs));

    /// <summary>Does something with a model; a <see cref="ModelException"/> then names the file.</summary>
    public static T Naming<T>(string path, Func<T> work)
    {
        try
        {
            return work();
        }
        catch (ModelException e) when (!e.Message.StartsWith(path, StringComparison.Ordinal))
        {
            throw new ModelException($"{path}: {e.Message}", e);
        }
    }

    public void Dispose() => Session.Dispose();
}
