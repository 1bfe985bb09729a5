namespace Microsoft.ML.OnnxRuntime;

/// <summary>ONNX Runtime refused or failed; the message is "[ErrorCode:Name] " and what the library said.</summary>
public class OnnxRuntimeException : Exception
{
    internal OnnxRuntimeException(ErrorCode code, string message) : base($"[ErrorCode:{code}] {message}")
    {
    }
}

/// <summary>enum OrtErrorCode.</summary>
enum ErrorCode
{
    Ok,
    Fail,
    InvalidArgument,
    NoSuchFile,
    NoModel,
    EngineError,
    RuntimeException,
    InvalidProtobuf,
    ModelLoaded,
    NotImplemented,
    InvalidGraph,
    EpFail,
    ModelLoadCanceled,
    ModelRequiresCompilation,
    NotFound,
}
