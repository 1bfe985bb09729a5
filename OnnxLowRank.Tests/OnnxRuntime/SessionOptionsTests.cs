using Microsoft.ML.OnnxRuntime;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Tests.OnnxRuntime;

public class SessionOptionsTests
{
    readonly string _folder = Directory.CreateTempSubdirectory().FullName;

    [Fact]
    public void Every_option_can_be_set_and_the_model_still_runs()
    {
        using var options = new SessionOptions
        {
            GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_BASIC,
            ExecutionMode = ExecutionMode.ORT_PARALLEL,
            IntraOpNumThreads = 1,
            InterOpNumThreads = 2,
            LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR,
            LogId = "options é",
            EnableCpuMemArena = false,
            EnableMemoryPattern = false,
        };
        options.AddSessionConfigEntry("session.intra_op.allow_spinning", "0");
        options.AppendExecutionProvider_CPU(1);
        options.EnableMemoryPattern = true;

        using var session = new InferenceSession(Models.Twice(), options);

        Assert.True(options.EnableCpuMemArena);
        Assert.Equal([2, 4, 6], Models.Run(session, Models.Row([1, 2, 3])));
    }

    [Fact]
    public void The_optimized_model_is_written()
    {
        var path = Path.Combine(_folder, "optimized é.onnx");
        using var options = new SessionOptions { OptimizedModelFilePath = path };

        using var session = new InferenceSession(Models.Twice(), options);

        Assert.Equal("twice", ModelProto.Parser.ParseFrom(File.ReadAllBytes(path)).Graph.Name);
    }

    [Fact]
    public void A_profile_is_written_if_asked_for()
    {
        using var options = new SessionOptions { ProfileOutputPathPrefix = Path.Combine(_folder, "profile"), EnableProfiling = true };
        using (var session = new InferenceSession(Models.Twice(), options))
        {
            Models.Run(session, Models.Row([1, 2, 3]));
            Assert.Contains("Mul", File.ReadAllText(session.EndProfiling()), StringComparison.Ordinal);
        }

        options.EnableProfiling = false;
        using var unprofiled = new InferenceSession(Models.Twice(), options);
        Assert.Single(Directory.GetFiles(_folder));
    }

    [Fact]
    public void A_symbolic_dimension_can_be_fixed()
    {
        using var options = new SessionOptions();
        options.AddFreeDimensionOverrideByName("batch", 5);

        using var session = new InferenceSession(Models.Twice(), options);

        Assert.Equal([5, 3], session.InputMetadata["x"].Dimensions);
    }

    [Fact]
    public void A_replaced_initializer_lives_as_long_as_the_session()
    {
        InferenceSession session;
        using (var options = new SessionOptions())
        using (var ten = OrtValue.CreateTensorValueFromMemory(new float[] { 10 }, []))
        {
            options.AddInitializer("two", ten);
            session = new(Models.Twice(), options);
        }
        CollectGarbage();

        Assert.Equal([10, 20, 30], Models.Run(session, Models.Row([1, 2, 3])));
        session.Dispose();
    }

    [Fact]
    public void A_wrong_option_is_an_exception()
    {
        using var options = new SessionOptions();
        options.AddFreeDimensionOverrideByName("batch", -7);

        Assert.Throws<ArgumentException>(() => options.LogId = "zero \0 inside");
        Assert.Throws<OnnxRuntimeException>(() => options.GraphOptimizationLevel = (GraphOptimizationLevel)77);
    }

    [Fact]
    public void Cuda_is_an_option_or_an_exception_that_says_why()
    {
        using var options = new SessionOptions();
        try
        {
            using var cuda = new OrtCUDAProviderOptions();
            cuda.UpdateOptions(new() { ["device_id"] = "0" });
            Assert.Contains("device_id=0", cuda.GetOptions(), StringComparison.Ordinal);
            options.AppendExecutionProvider_CUDA(cuda);
            options.AppendExecutionProvider_CUDA(0);
        }
        catch (OnnxRuntimeException e)
        {
            Assert.Contains("provider", e.Message, StringComparison.OrdinalIgnoreCase);
        }
    }

    [Fact]
    public void Disposed_options_are_refused()
    {
        var options = new SessionOptions();
        options.Dispose();

        Assert.Throws<ObjectDisposedException>(() => options.IntraOpNumThreads = 1);
        Assert.Throws<ObjectDisposedException>(() => new InferenceSession(Models.Twice(), options));
    }

    static void CollectGarbage()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
    }
}
