namespace Microsoft.ML.OnnxRuntime;

/// <summary>Receives one log message. Called on whatever thread logs; exceptions thrown from it are dropped.</summary>
/// <param name="param">The <see cref="EnvironmentCreationOptions.loggingParam"/>.</param>
/// <param name="severity">How bad it is.</param>
/// <param name="category">Which part of ONNX Runtime speaks.</param>
/// <param name="logId">The id of the environment, session or run.</param>
/// <param name="codeLocation">File, line and function in ONNX Runtime.</param>
/// <param name="message">The text.</param>
public delegate void DOrtLoggingFunction(
    IntPtr param, OrtLoggingLevel severity, string category, string logId, string codeLocation, string message);

/// <summary>What the environment is created with; what is not set is the default.</summary>
public struct EnvironmentCreationOptions
{
    /// <summary>Stands in each log line.</summary>
    public string? logId;

    /// <summary>Least severity that is logged; a warning by default.</summary>
    public OrtLoggingLevel? logLevel;

    /// <summary>Threads that sessions may share, see <see cref="SessionOptions.DisablePerSessionThreads"/>; none if null.</summary>
    public OrtThreadingOptions? threadOptions;

    /// <summary>Handed to <see cref="loggingFunction"/>.</summary>
    public IntPtr? loggingParam;

    /// <summary>Takes the messages that otherwise go to stderr.</summary>
    public DOrtLoggingFunction? loggingFunction;
}
