using Microsoft.ML.OnnxRuntime;

namespace OnnxLowRank.Tests.OnnxRuntime;

public class OrtEnvTests
{
    [Fact]
    public void The_library_says_its_version_and_its_providers()
    {
        var env = OrtEnv.Instance();

        Assert.Matches(@"^1\.\d+\.\d+", env.GetVersionString());
        Assert.Contains("CPUExecutionProvider", env.GetAvailableProviders());
        Assert.True(OrtEnv.IsCreated);
    }

    [Fact]
    public void There_is_one_environment_and_a_second_with_options_is_refused()
    {
        Assert.Same(OrtEnv.Instance(), OrtEnv.Instance());

        var options = new EnvironmentCreationOptions { logId = "second" };
        Assert.Throws<OnnxRuntimeException>(() => OrtEnv.CreateInstanceWithOptions(ref options));
    }

    [Fact]
    public void The_log_level_can_be_changed()
    {
        var env = OrtEnv.Instance();
        var before = env.EnvLogLevel;

        env.EnvLogLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR;

        Assert.Equal(OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR, env.EnvLogLevel);
        env.EnvLogLevel = before;
    }

    [Fact]
    public void A_logging_function_gets_the_messages() => InNewProcess.Run(LoggingFunction);

    [Fact(Explicit = true)]
    public void LoggingFunction()
    {
        Assert.False(OrtEnv.IsCreated);
        List<(IntPtr Param, OrtLoggingLevel Severity, string LogId, string Message)> lines = [];
        var options = new EnvironmentCreationOptions
        {
            logId = "tests é",
            logLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_INFO,
            loggingParam = 42,
            loggingFunction = (param, severity, category, logId, location, message) =>
            {
                lock (lines)
                {
                    lines.Add((param, severity, logId, message));
                }
                throw new InvalidOperationException("must not reach the library");
            },
        };

        using var env = OrtEnv.CreateInstanceWithOptions(ref options);
        using (var session = new InferenceSession(Models.Twice()))
        {
            Assert.Equal([2, 4, 6], Models.Run(session, Models.Row([1, 2, 3])));
        }

        Assert.Equal(OrtLoggingLevel.ORT_LOGGING_LEVEL_INFO, env.EnvLogLevel);
        Assert.NotEmpty(lines);
        Assert.All(lines, line => Assert.Equal(42, line.Param));
        Assert.All(lines, line => Assert.NotEqual("", line.Message));
    }

    [Fact]
    public void Sessions_without_threads_of_their_own_need_those_of_the_environment() => InNewProcess.Run(SharedThreads);

    [Fact(Explicit = true)]
    public void SharedThreads()
    {
        using (OrtEnv.Instance())
        {
            using var own = new SessionOptions();
            own.DisablePerSessionThreads();
            Assert.Throws<OnnxRuntimeException>(() => new InferenceSession(Models.Twice(), own));
        }
        foreach (DOrtLoggingFunction? logging in new DOrtLoggingFunction?[] { null, (_, _, _, _, _, _) => { } })
        {
            using var threads = new OrtThreadingOptions { GlobalIntraOpNumThreads = 2, GlobalInterOpNumThreads = 1, GlobalSpinControl = false };
            threads.SetGlobalDenormalAsZero();
            var options = new EnvironmentCreationOptions { threadOptions = threads, loggingFunction = logging };
            using var env = OrtEnv.CreateInstanceWithOptions(ref options);
            threads.Dispose();
            using var shared = new SessionOptions();
            shared.DisablePerSessionThreads();
            using var session = new InferenceSession(Models.Twice(), shared);
            Assert.Equal([2, 4, 6], Models.Run(session, Models.Row([1, 2, 3])));
        }
    }

    [Fact]
    public void A_session_outlives_its_disposed_environment_and_a_new_one_can_be_made() => InNewProcess.Run(Disposal);

    [Fact(Explicit = true)]
    public void Disposal()
    {
        var first = OrtEnv.Instance();
        using var session = new InferenceSession(Models.Twice());
        first.Dispose();
        Assert.False(OrtEnv.IsCreated);
        Assert.Throws<ObjectDisposedException>(first.GetVersionString);

        Assert.Equal([2, 4, 6], Models.Run(session, Models.Row([1, 2, 3])));
        Assert.NotSame(first, OrtEnv.Instance());
        using var other = new InferenceSession(Models.Twice());
        session.Dispose();
        Assert.Equal([2, 4, 6], Models.Run(other, Models.Row([1, 2, 3])));

        other.Dispose();
        OrtEnv.Instance().Dispose(); // the last one
        using var third = new InferenceSession(Models.Twice());
        Assert.Equal([2, 4, 6], Models.Run(third, Models.Row([1, 2, 3])));
    }
}
