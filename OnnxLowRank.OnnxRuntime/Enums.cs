namespace Microsoft.ML.OnnxRuntime;

/// <summary>How much ONNX Runtime may change a graph before it runs it.</summary>
public enum GraphOptimizationLevel
{
    /// <summary>Nothing.</summary>
    ORT_DISABLE_ALL = 0,

    /// <summary>Constant folding and removal of what does nothing.</summary>
    ORT_ENABLE_BASIC = 1,

    /// <summary>Also fusions into ONNX Runtime's own operators.</summary>
    ORT_ENABLE_EXTENDED = 2,

    /// <summary>Also changes of memory layout; libraries before 1.23 do not know this level.</summary>
    ORT_ENABLE_LAYOUT = 3,

    /// <summary>Everything; the default.</summary>
    ORT_ENABLE_ALL = 99,
}

/// <summary>Whether nodes may run side by side.</summary>
public enum ExecutionMode
{
    /// <summary>One node after the other; the default.</summary>
    ORT_SEQUENTIAL = 0,

    /// <summary>Independent nodes at once, on the inter-op threads.</summary>
    ORT_PARALLEL = 1,
}

/// <summary>Severity of a log message, least first.</summary>
public enum OrtLoggingLevel
{
    /// <summary>Everything.</summary>
    ORT_LOGGING_LEVEL_VERBOSE = 0,

    /// <summary>Notable events.</summary>
    ORT_LOGGING_LEVEL_INFO = 1,

    /// <summary>Something may be wrong; the default.</summary>
    ORT_LOGGING_LEVEL_WARNING = 2,

    /// <summary>Something failed.</summary>
    ORT_LOGGING_LEVEL_ERROR = 3,

    /// <summary>Nothing more can be done.</summary>
    ORT_LOGGING_LEVEL_FATAL = 4,
}

/// <summary>What kind of thing an input, an output or an <see cref="OrtValue"/> is.</summary>
public enum OnnxValueType
{
    /// <summary>Not set.</summary>
    ONNX_TYPE_UNKNOWN = 0,

    /// <summary>A dense tensor.</summary>
    ONNX_TYPE_TENSOR = 1,

    /// <summary>A sequence of values.</summary>
    ONNX_TYPE_SEQUENCE = 2,

    /// <summary>A map from keys to values.</summary>
    ONNX_TYPE_MAP = 3,

    /// <summary>A type that only its operators know.</summary>
    ONNX_TYPE_OPAQUE = 4,

    /// <summary>A sparse tensor.</summary>
    ONNX_TYPE_SPARSETENSOR = 5,

    /// <summary>Any of the others, or nothing.</summary>
    ONNX_TYPE_OPTIONAL = 6,
}

/// <summary>How an allocator works.</summary>
public enum OrtAllocatorType
{
    /// <summary>Straight from the device.</summary>
    DeviceAllocator = 0,

    /// <summary>From a pool that grows.</summary>
    ArenaAllocator = 1,
}

/// <summary>What a piece of memory is to an execution provider.</summary>
public enum OrtMemType
{
    /// <summary>CPU memory that another device's provider reads.</summary>
    CpuInput = -2,

    /// <summary>CPU memory that another device's provider writes, such as CUDA's pinned memory.</summary>
    CpuOutput = -1,

    /// <summary>The same as <see cref="CpuOutput"/>.</summary>
    Cpu = CpuOutput,

    /// <summary>The provider's own.</summary>
    Default = 0,
}
