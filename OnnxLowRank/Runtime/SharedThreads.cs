using Microsoft.ML.OnnxRuntime;

namespace OnnxLowRank.Runtime;

/// <summary>
/// Threads that all sessions of the process share. Threads of a session's own spin for some ten milliseconds after each run,
/// waiting for the next one, and hold the cores that another session needs: models that take turns would run at a fraction of their speed, and not
/// all at the same one.
/// </summary>
static class SharedThreads
{
    static readonly Lock s_making = new();
    static OrtEnv? s_environment;
    static int s_count;

    /// <summary>
    /// Makes ONNX Runtime's environment, with these threads. Where an application has made it before, there are none to share, and where it was made
    /// here before, those that it has.
    /// </summary>
    /// <param name="count">Threads per run, the calling one included.</param>
    public static void Make(int count)
    {
        lock (s_making)
        {
            if (OrtEnv.IsCreated)
            {
                return;
            }
            using var threads = new OrtThreadingOptions { GlobalIntraOpNumThreads = count, GlobalInterOpNumThreads = 1 };
            var options = new EnvironmentCreationOptions { threadOptions = threads };
            try
            {
                (s_environment, s_count) = (OrtEnv.CreateInstanceWithOptions(ref options), count);
            }
            catch (OnnxRuntimeException) when (OrtEnv.IsCreated) // by the application, since we looked
            {
            }
        }
    }

    /// <summary>Gives a session its threads: the shared ones where they are as many as it wants.</summary>
    public static void AddTo(SessionOptions options, int threads)
    {
        if (Has(threads))
        {
            options.DisablePerSessionThreads();
        }
        else
        {
            options.IntraOpNumThreads = threads;
        }
    }

    /// <summary>Whether sessions of as many threads share them; one that runs on the calling thread alone has none to share.</summary>
    public static bool Has(int threads)
    {
        lock (s_making)
        {
            return threads == s_count && ReferenceEquals(s_environment, OrtEnv.Instance());
        }
    }
}
