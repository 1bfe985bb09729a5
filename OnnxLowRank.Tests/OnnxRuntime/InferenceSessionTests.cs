using System.Diagnostics;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Tests.OnnxRuntime;

public class InferenceSessionTests
{
    readonly string _folder = Directory.CreateTempSubdirectory().FullName;

    [Fact]
    public void A_model_runs_from_bytes_and_from_a_file()
    {
        var path = Path.Combine(_folder, "modèle.onnx");
        File.WriteAllBytes(path, Models.Twice());
        using var options = new SessionOptions();

        InferenceSession[] sessions = [new(Models.Twice()), new(Models.Twice(), options), new(path), new(path, options)];

        Assert.All(sessions, session =>
        {
            using (session)
            {
                Assert.Equal([2, 4, 6], Models.Run(session, Models.Row([1, 2, 3])));
            }
        });
    }

    [Fact]
    public void A_failed_status_becomes_an_exception_with_the_message()
    {
        var bad = Assert.Throws<OnnxRuntimeException>(() => new InferenceSession([1, 2, 3]));
        var missing = Assert.Throws<OnnxRuntimeException>(() => new InferenceSession("no such file.onnx"));
        var empty = Assert.Throws<OnnxRuntimeException>(() => new InferenceSession(Array.Empty<byte>()));

        Assert.StartsWith("[ErrorCode:InvalidProtobuf] ", bad.Message, StringComparison.Ordinal);
        Assert.StartsWith("[ErrorCode:NoSuchFile] ", missing.Message, StringComparison.Ordinal);
        Assert.Contains("no such file.onnx", missing.Message, StringComparison.Ordinal);
        Assert.StartsWith("[ErrorCode:", empty.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Metadata_tells_types_and_shapes_fixed_named_and_unknown()
    {
        using var session = new InferenceSession(Models.Bytes(new()
        {
            Name = "shapes",
            Input =
            {
                Models.Tensor("x", Models.Float, "batch", null, 4),
                Models.Tensor("scalar", TensorProto.Types.DataType.Int64),
                Models.Tensor("text", TensorProto.Types.DataType.String, 2),
                Models.Tensor("weight", Models.Float),
            },
            Output = { Models.Tensor("y", Models.Float, "batch", null, 4), Models.Tensor("z", TensorProto.Types.DataType.Int64), Models.Tensor("t", TensorProto.Types.DataType.String, 2) },
            Initializer = { Models.Constant("weight", 3) },
            Node =
            {
                Models.Node("Mul", ["x", "weight"], ["y"]),
                Models.Node("Identity", ["scalar"], ["z"]),
                Models.Node("Identity", ["text"], ["t"]),
            },
        }));

        Assert.Equal(["x", "scalar", "text"], session.InputNames);
        Assert.Equal(["y", "z", "t"], session.OutputNames);
        Assert.Equal(["weight"], session.OverridableInitializerMetadata.Keys);
        var x = session.InputMetadata["x"];
        Assert.Equal([-1, -1, 4], x.Dimensions);
        Assert.Equal(["batch", "", ""], x.SymbolicDimensions);
        Assert.Equal((OnnxValueType.ONNX_TYPE_TENSOR, true, false), (x.OnnxValueType, x.IsTensor, x.IsString));
        Assert.Equal((TensorElementType.Float, typeof(float)), (x.ElementDataType, x.ElementType));
        Assert.Empty(session.InputMetadata["scalar"].Dimensions);
        Assert.Equal(typeof(long), session.OutputMetadata["z"].ElementType);
        Assert.True(session.InputMetadata["text"].IsString);

        using var run = session.Run(
            Models.Defaults,
            new Dictionary<string, OrtValue>
            {
                ["x"] = OrtValue.CreateTensorValueFromMemory(new float[] { 1, 2, 3, 4 }, [1, 1, 4]),
                ["scalar"] = OrtValue.CreateTensorValueFromMemory(new long[] { 5 }, []),
                ["text"] = OrtValue.CreateTensorWithEmptyStrings(OrtAllocator.DefaultInstance, [2]),
                ["weight"] = OrtValue.CreateTensorValueFromMemory(new float[] { 100 }, []),
            },
            ["z", "y"]);
        Assert.Equal([5], run[0].GetTensorDataAsSpan<long>());
        Assert.Equal(0, run[0].GetTensorTypeAndShape().DimensionsCount);
        Assert.Equal([100, 200, 300, 400], run[1].GetTensorDataAsSpan<float>());
    }

    [Fact]
    public void A_model_with_absurd_shapes_is_no_crash()
    {
        byte[] Model(params object[] shape) => Models.Bytes(new()
        {
            Name = "absurd",
            Input = { Models.Tensor("x", Models.Float, shape) },
            Output = { Models.Tensor("y", Models.Float, shape) },
            Node = { Models.Node("Identity", ["x"], ["y"]) },
        });

        using var deep = new InferenceSession(Model([.. Enumerable.Repeat<object>("n", 1_000_000)]));
        Assert.Equal(1_000_000, deep.InputMetadata["x"].SymbolicDimensions.Length);

        var wide = ModelProto.Parser.ParseFrom(Model(1));
        wide.Graph.Input[0].Type.TensorType.Shape.Dim[0].DimValue = 1L << 40;
        wide.Graph.Output[0].Type.TensorType.Shape.Dim[0].DimValue = 1L << 40;
        Assert.Throws<OnnxRuntimeException>(() => new InferenceSession(Google.Protobuf.MessageExtensions.ToByteArray(wide)));
    }

    [Fact]
    public void The_model_says_what_it_is()
    {
        using var session = new InferenceSession(Models.Twice());

        var about = session.ModelMetadata;

        Assert.Same(about, session.ModelMetadata);
        Assert.Equal(("tests é", "twice", "org.example"), (about.ProducerName, about.GraphName, about.Domain));
        Assert.Equal(("about the model", "about the graph", 7), (about.Description, about.GraphDescription, about.Version));
        Assert.Equal(new() { ["clé"] = "valeur", ["empty"] = "" }, about.CustomMetadataMap);
    }

    [Fact]
    public void A_model_that_says_nothing_has_empty_metadata()
    {
        var model = ModelProto.Parser.ParseFrom(Models.Twice());
        model.MetadataProps.Clear();
        model.ClearDomain();

        using var session = new InferenceSession(Google.Protobuf.MessageExtensions.ToByteArray(model));

        Assert.Equal("", session.ModelMetadata.Domain);
        Assert.Empty(session.ModelMetadata.CustomMetadataMap);
    }

    [Fact]
    public void A_sequence_is_an_output_that_is_not_a_tensor()
    {
        var sequence = new ValueInfoProto { Name = "s", Type = new() { SequenceType = new() { ElemType = Models.Tensor("", Models.Float, 3).Type } } };
        using var session = new InferenceSession(Models.Bytes(new()
        {
            Name = "sequence",
            Input = { Models.Tensor("x", Models.Float, 3) },
            Output = { sequence },
            Node = { Models.Node("SequenceConstruct", ["x", "x"], ["s"]) },
        }));
        Assert.Equal(OnnxValueType.ONNX_TYPE_SEQUENCE, session.OutputMetadata["s"].OnnxValueType);
        Assert.Throws<OnnxRuntimeException>(() => session.OutputMetadata["s"].Dimensions);

        using var outputs = session.Run(Models.Defaults, ["x"], [OrtValue.CreateTensorValueFromMemory(new float[3], [3])], ["s"]);

        Assert.False(outputs[0].IsTensor);
        Assert.Throws<OnnxRuntimeException>(() => outputs[0].GetTensorDataAsSpan<float>().Length);
        Assert.Throws<OnnxRuntimeException>(() => outputs[0].GetTensorTypeAndShape());
    }

    [Fact]
    public void Outputs_can_go_where_they_are_told()
    {
        using var session = new InferenceSession(Models.Twice());
        var y = new float[3];
        using var output = Models.Row(y);
        using var options = new RunOptions();

        session.Run(options, ["x"], [Models.Row([1, 2, 3])], ["y"], [output]);

        Assert.Equal([2, 4, 6], y);
        session.Run(null, ["x"], [Models.Row([4, 5, 6])], ["y"], [output]);
        Assert.Equal([8, 10, 12], y);
    }

    [Fact]
    public void What_does_not_fit_is_an_exception()
    {
        using var session = new InferenceSession(Models.Twice());
        using var x = Models.Row([1, 2, 3]);
        using var wide = OrtValue.CreateTensorValueFromMemory(new float[4], [1, 4]);
        using var whole = OrtValue.CreateTensorValueFromMemory(new int[3], [1, 3]);

        Assert.Throws<ArgumentException>(() => session.Run(Models.Defaults, ["x", "x"], [x], ["y"]));
        Assert.Throws<ArgumentException>(() => session.Run(Models.Defaults, ["x"], [x], ["y"], []));
        Assert.Throws<OnnxRuntimeException>(() => session.Run(Models.Defaults, ["nobody"], [x], ["y"]));
        Assert.Throws<OnnxRuntimeException>(() => session.Run(Models.Defaults, ["x"], [x], ["nobody"]));
        Assert.Throws<OnnxRuntimeException>(() => session.Run(Models.Defaults, ["x"], [wide], ["y"]));
        Assert.Throws<OnnxRuntimeException>(() => session.Run(Models.Defaults, ["x"], [whole], ["y"]));
        Assert.Throws<OnnxRuntimeException>(() => session.Run(Models.Defaults, [], Array.Empty<OrtValue>(), ["y"]));
        Assert.Throws<OnnxRuntimeException>(() => session.Run(Models.Defaults, ["x"], [x], []));
        Assert.Throws<ArgumentNullException>(() => session.Run(Models.Defaults, ["x"], [null!], ["y"]).Count);
        Assert.Throws<ArgumentNullException>(() => session.Run(null!, ["x"], [x], ["y"]).Count); // as with the official assembly, nearly
        Assert.Equal([2, 4, 6], Models.Run(session, x));
    }

    [Fact]
    public void What_is_disposed_is_refused()
    {
        var session = new InferenceSession(Models.Twice());
        var x = Models.Row([1, 2, 3]);
        var run = new RunOptions();
        x.Dispose();
        run.Dispose();
        x.Dispose();

        Assert.Throws<ObjectDisposedException>(() => Models.Run(session, x));
        Assert.Throws<ObjectDisposedException>(() => session.Run(run, ["x"], [Models.Row([1, 2, 3])], ["y"]).Count);
        Assert.Throws<ObjectDisposedException>(() => run.Terminate = true);

        session.Dispose();
        Assert.Throws<ObjectDisposedException>(() => Models.Run(session, Models.Row([1, 2, 3])));
        Assert.Throws<ObjectDisposedException>(session.CreateIoBinding);
        Assert.Throws<ObjectDisposedException>(session.EndProfiling);
    }

    [Fact]
    public void Terminate_refuses_runs_until_it_is_taken_back()
    {
        using var session = new InferenceSession(Models.Twice());
        using var options = new RunOptions
        {
            LogId = "run",
            LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL,
            Terminate = true,
        };
        options.AddRunConfigEntry("memory.enable_memory_arena_shrinkage", "cpu:0");

        Assert.Throws<OnnxRuntimeException>(() => session.Run(options, ["x"], [Models.Row([1, 2, 3])], ["y"]));

        options.Terminate = false;
        using var outputs = session.Run(options, ["x"], [Models.Row([1, 2, 3])], ["y"]);
        Assert.Equal([2, 4, 6], outputs[0].GetTensorDataAsSpan<float>());
    }

    [Fact]
    public async Task Terminate_cancels_a_run_that_would_take_for_ever()
    {
        using var session = new InferenceSession(Models.Loop());
        using var options = new RunOptions { LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL };
        using var n = OrtValue.CreateTensorValueFromMemory([long.MaxValue], []);

        var run = Task.Run(() => session.Run(options, ["n"], [n], ["y"]), TestContext.Current.CancellationToken);
        await Task.Delay(200, TestContext.Current.CancellationToken);
        Assert.False(run.IsCompleted);
        var clock = Stopwatch.StartNew();
        options.Terminate = true;

        await Assert.ThrowsAsync<OnnxRuntimeException>(() => run);
        Assert.True(clock.Elapsed < TimeSpan.FromSeconds(20), $"took {clock.Elapsed} to stop");
    }

    [Fact]
    public void A_session_runs_from_several_threads_while_the_garbage_collector_works()
    {
        using var session = new InferenceSession(Models.Twice());

        Parallel.For(0, 2000, i =>
        {
            var x = Models.Row([i, i + 1, i + 2]); // left to the finalizer
            if (i % 50 == 0)
            {
                GC.Collect();
            }
            Assert.Equal([2 * i, 2 * i + 2, 2 * i + 4], Models.Run(session, x));
        });
    }

    [Fact]
    public async Task Disposing_a_session_waits_for_its_runs()
    {
        for (int i = 0; i < 20; i++)
        {
            var session = new InferenceSession(Models.Loop());
            var n = OrtValue.CreateTensorValueFromMemory([20_000L], []);
            using var started = new ManualResetEventSlim();
            var run = Task.Run(() =>
            {
                started.Set();
                try
                {
                    using var y = session.Run(Models.Defaults, ["n"], [n], ["y"]);
                    return y[0].GetTensorDataAsSpan<float>()[0];
                }
                catch (ObjectDisposedException) // Dispose came first
                {
                    return 20_000;
                }
            }, TestContext.Current.CancellationToken);
            started.Wait(TestContext.Current.CancellationToken);
            session.Dispose();
            n.Dispose();
            Assert.Equal(20_000, await run);
        }
    }
}
