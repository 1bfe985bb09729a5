using System.Buffers;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using OnnxLowRank.Onnx;
using OnnxLowRank.Samples;

namespace OnnxLowRank.Runtime;

/// <summary>A model that ONNX Runtime has loaded, at the optimization level that models are deployed with.</summary>
sealed class ModelSession : IDisposable
{
    readonly InferenceSession _session;
    readonly BorrowedWeights? _weights;

    ModelSession(InferenceSession session, BorrowedWeights? weights)
    {
        (_session, _weights) = (session, weights);
        Inputs = weights == null
            ? session.InputMetadata
            : session.InputMetadata.Where(input => !weights.Names.Contains(input.Key)).ToDictionary();
    }

    /// <summary>Metadata of the inputs a caller must give.</summary>
    public IReadOnlyDictionary<string, NodeMetadata> Inputs { get; }

    /// <summary>Metadata of the graph outputs.</summary>
    public IReadOnlyDictionary<string, NodeMetadata> Outputs => _session.OutputMetadata;

    public IReadOnlyList<string> OutputNames => _session.OutputNames;

    /// <summary>A session for measuring what a model computes, not how long it takes: it borrows the model's large weights.</summary>
    /// <param name="optimizedPath">Where to write the graph that ONNX Runtime made of the model, or null.</param>
    /// <exception cref="ModelException">ONNX Runtime refuses the model.</exception>
    public static ModelSession Open(OnnxModel model, Device device, int threads, string? optimizedPath = null)
    {
        if (device.CudaId != null)
        {
            return Open(options => new InferenceSession(model.ToBytes(), options), device, threads, options => WriteOptimized(options, optimizedPath)); // weights would travel to the device in every run
        }
        var weights = BorrowedWeights.Of(model, out var rest);
        try
        {
            byte[] bytes = rest.ToBytes();
            return Open(options => new InferenceSession(bytes, options), device, threads, options =>
            {
                WriteOptimized(options, optimizedPath);
                options.EnableCpuMemArena = options.EnableMemoryPattern = !model.Spill.IsToDisk; // an arena keeps twice what the largest value took
            }, weights);
        }
        catch
        {
            weights.Dispose();
            throw;
        }
    }

    /// <exception cref="ModelException">ONNX Runtime refuses the model.</exception>
    public static ModelSession Open(byte[] model, Device device, int threads) =>
        Open(options => new InferenceSession(model, options), device, threads, _ => { });

    /// <summary>A session that writes down how long every kernel takes; see <see cref="EndProfiling"/>.</summary>
    /// <param name="profilePrefix">Start of the profile's path.</param>
    /// <exception cref="ModelException">ONNX Runtime refuses the model.</exception>
    public static ModelSession OpenProfiled(byte[] model, Device device, int threads, string profilePrefix) =>
        Open(options => new InferenceSession(model, options), device, threads, options =>
        {
            options.ProfileOutputPathPrefix = profilePrefix;
            options.EnableProfiling = true;
        });

    /// <param name="optimizedPath">Where to write the graph that ONNX Runtime made of the model, or null.</param>
    /// <exception cref="ModelException">ONNX Runtime refuses the model.</exception>
    public static ModelSession Open(string path, Device device, int threads, string? optimizedPath = null) =>
        Open(options => new InferenceSession(path, options), device, threads, options => WriteOptimized(options, optimizedPath));

    static void WriteOptimized(SessionOptions options, string? path)
    {
        if (path != null)
        {
            options.OptimizedModelFilePath = path;
        }
    }

    static ModelSession Open(Func<SessionOptions, InferenceSession> create, Device device, int threads, Action<SessionOptions> configure, BorrowedWeights? weights = null)
    {
        try
        {
            using var options = new SessionOptions
            {
                GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL,
                InterOpNumThreads = 1,
                LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL,
            };
            SharedThreads.AddTo(options, threads);
            configure(options);
            device.AddTo(options);
            return new(create(options), weights);
        }
        catch (OnnxRuntimeException e)
        {
            throw Failure("cannot load the model", e);
        }
    }

    /// <summary>Runs the model once on samples, without copying them.</summary>
    /// <param name="outputs">Names of the wanted outputs; the results are in this order. Dispose them.</param>
    /// <param name="more">Values of inputs that no sample holds.</param>
    /// <exception cref="ModelException">A node failed; ONNX Runtime's message names it.</exception>
    public IDisposableReadOnlyCollection<OrtValue> Run(SampleRun samples, IReadOnlyCollection<string> outputs, IReadOnlyDictionary<string, OrtValue>? more = null)
    {
        var pins = new List<MemoryHandle>();
        var values = new List<OrtValue>();
        try
        {
            foreach (var input in samples.Inputs)
            {
                values.Add(Wrap(input, pins));
            }
            using var options = new RunOptions();
            return _session.Run(
                options, [.. samples.Inputs.Select(input => input.Input.Name), .. _weights?.Names ?? [], .. more?.Keys ?? []],
                [.. values, .. _weights?.Values ?? [], .. more?.Values ?? []], outputs);
        }
        catch (OnnxRuntimeException e)
        {
            throw Failure("failed while running the model", e);
        }
        finally
        {
            values.ForEach(value => value.Dispose());
            pins.ForEach(pin => pin.Dispose());
        }
    }

    /// <summary>Ends a profile; returns its path.</summary>
    public string EndProfiling() => _session.EndProfiling();

    static unsafe OrtValue Wrap(SampleBuffer input, List<MemoryHandle> pins)
    {
        var pin = input.Bytes.Pin();
        pins.Add(pin);
        return OrtValue.CreateTensorValueWithData(
            OrtMemoryInfo.DefaultInstance, (TensorElementType)(int)input.Input.ElementType, input.Shape, (nint)pin.Pointer, input.Bytes.Length);
    }

    static Exception Failure(string what, OnnxRuntimeException e)
    {
        string message = OrtMessage.Of(e);
        bool isMemory = message.Contains("Failed to allocate memory", StringComparison.Ordinal) || message.Contains("bad_alloc", StringComparison.Ordinal);
        return isMemory
            ? new InsufficientMemoryException($"ONNX Runtime {what}: {message}", e)
            : new ModelException($"ONNX Runtime {what}: {message}", e);
    }

    public void Dispose()
    {
        _session.Dispose();
        _weights?.Dispose();
    }
}
