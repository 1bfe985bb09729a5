using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.OnnxRuntime.Native;

/// <summary>
/// The slots of struct OrtApi that we call: names and argument order as in onnxruntime_c_api.h, so the C manual is the documentation.
/// Opaque objects are nint; OrtStatus* comes back as nint and goes to <see cref="Ort.Check"/>.
/// </summary>
/// <remarks>
/// The struct only ever grows at its end, so a position is valid in every release that has it.
/// When a slot is added here, see that <see cref="Version"/> is the first API version that has the highest one.
/// </remarks>
[StructLayout(LayoutKind.Explicit)]
unsafe struct OrtApi
{
    /// <summary>API version n is what ONNX Runtime 1.n offers; 15 is the first with 254 slots, and we need 253.</summary>
    public const uint Version = 15;

    const int Slot = 8; // bytes per function pointer; all the platforms with a library are 64-bit

    [FieldOffset(1 * Slot)] public delegate* unmanaged[Cdecl]<nint, ErrorCode> GetErrorCode;
    [FieldOffset(2 * Slot)] public delegate* unmanaged[Cdecl]<nint, byte*> GetErrorMessage;
    [FieldOffset(3 * Slot)] public delegate* unmanaged[Cdecl]<OrtLoggingLevel, byte*, nint*, nint> CreateEnv;
    [FieldOffset(4 * Slot)] public delegate* unmanaged[Cdecl]<delegate* unmanaged[Cdecl]<void*, OrtLoggingLevel, byte*, byte*, byte*, byte*, void>, void*, OrtLoggingLevel, byte*, nint*, nint> CreateEnvWithCustomLogger;
    [FieldOffset(7 * Slot)] public delegate* unmanaged[Cdecl]<nint, void*, nint, nint*, nint> CreateSession;
    [FieldOffset(8 * Slot)] public delegate* unmanaged[Cdecl]<nint, void*, nuint, nint, nint*, nint> CreateSessionFromArray;
    [FieldOffset(9 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint, byte**, nint*, nuint, byte**, nuint, nint*, nint> Run;
    [FieldOffset(10 * Slot)] public delegate* unmanaged[Cdecl]<nint*, nint> CreateSessionOptions;
    [FieldOffset(11 * Slot)] public delegate* unmanaged[Cdecl]<nint, void*, nint> SetOptimizedModelFilePath;
    [FieldOffset(13 * Slot)] public delegate* unmanaged[Cdecl]<nint, ExecutionMode, nint> SetSessionExecutionMode;
    [FieldOffset(14 * Slot)] public delegate* unmanaged[Cdecl]<nint, void*, nint> EnableProfiling;
    [FieldOffset(15 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint> DisableProfiling;
    [FieldOffset(16 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint> EnableMemPattern;
    [FieldOffset(17 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint> DisableMemPattern;
    [FieldOffset(18 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint> EnableCpuMemArena;
    [FieldOffset(19 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint> DisableCpuMemArena;
    [FieldOffset(20 * Slot)] public delegate* unmanaged[Cdecl]<nint, byte*, nint> SetSessionLogId;
    [FieldOffset(22 * Slot)] public delegate* unmanaged[Cdecl]<nint, int, nint> SetSessionLogSeverityLevel;
    [FieldOffset(23 * Slot)] public delegate* unmanaged[Cdecl]<nint, GraphOptimizationLevel, nint> SetSessionGraphOptimizationLevel;
    [FieldOffset(24 * Slot)] public delegate* unmanaged[Cdecl]<nint, int, nint> SetIntraOpNumThreads;
    [FieldOffset(25 * Slot)] public delegate* unmanaged[Cdecl]<nint, int, nint> SetInterOpNumThreads;
    [FieldOffset(30 * Slot)] public delegate* unmanaged[Cdecl]<nint, nuint*, nint> SessionGetInputCount;
    [FieldOffset(31 * Slot)] public delegate* unmanaged[Cdecl]<nint, nuint*, nint> SessionGetOutputCount;
    [FieldOffset(32 * Slot)] public delegate* unmanaged[Cdecl]<nint, nuint*, nint> SessionGetOverridableInitializerCount;
    [FieldOffset(33 * Slot)] public delegate* unmanaged[Cdecl]<nint, nuint, nint*, nint> SessionGetInputTypeInfo;
    [FieldOffset(34 * Slot)] public delegate* unmanaged[Cdecl]<nint, nuint, nint*, nint> SessionGetOutputTypeInfo;
    [FieldOffset(35 * Slot)] public delegate* unmanaged[Cdecl]<nint, nuint, nint*, nint> SessionGetOverridableInitializerTypeInfo;
    [FieldOffset(36 * Slot)] public delegate* unmanaged[Cdecl]<nint, nuint, nint, byte**, nint> SessionGetInputName;
    [FieldOffset(37 * Slot)] public delegate* unmanaged[Cdecl]<nint, nuint, nint, byte**, nint> SessionGetOutputName;
    [FieldOffset(38 * Slot)] public delegate* unmanaged[Cdecl]<nint, nuint, nint, byte**, nint> SessionGetOverridableInitializerName;
    [FieldOffset(39 * Slot)] public delegate* unmanaged[Cdecl]<nint*, nint> CreateRunOptions;
    [FieldOffset(41 * Slot)] public delegate* unmanaged[Cdecl]<nint, int, nint> RunOptionsSetRunLogSeverityLevel;
    [FieldOffset(42 * Slot)] public delegate* unmanaged[Cdecl]<nint, byte*, nint> RunOptionsSetRunTag;
    [FieldOffset(46 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint> RunOptionsSetTerminate;
    [FieldOffset(47 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint> RunOptionsUnsetTerminate;
    [FieldOffset(48 * Slot)] public delegate* unmanaged[Cdecl]<nint, long*, nuint, TensorElementType, nint*, nint> CreateTensorAsOrtValue;
    [FieldOffset(49 * Slot)] public delegate* unmanaged[Cdecl]<nint, void*, nuint, long*, nuint, TensorElementType, nint*, nint> CreateTensorWithDataAsOrtValue;
    [FieldOffset(51 * Slot)] public delegate* unmanaged[Cdecl]<nint, void**, nint> GetTensorMutableData;
    [FieldOffset(55 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint*, nint> CastTypeInfoToTensorInfo;
    [FieldOffset(56 * Slot)] public delegate* unmanaged[Cdecl]<nint, OnnxValueType*, nint> GetOnnxTypeFromTypeInfo;
    [FieldOffset(60 * Slot)] public delegate* unmanaged[Cdecl]<nint, TensorElementType*, nint> GetTensorElementType;
    [FieldOffset(61 * Slot)] public delegate* unmanaged[Cdecl]<nint, nuint*, nint> GetDimensionsCount;
    [FieldOffset(62 * Slot)] public delegate* unmanaged[Cdecl]<nint, long*, nuint, nint> GetDimensions;
    [FieldOffset(63 * Slot)] public delegate* unmanaged[Cdecl]<nint, byte**, nuint, nint> GetSymbolicDimensions;
    [FieldOffset(64 * Slot)] public delegate* unmanaged[Cdecl]<nint, nuint*, nint> GetTensorShapeElementCount;
    [FieldOffset(65 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint*, nint> GetTensorTypeAndShape;
    [FieldOffset(67 * Slot)] public delegate* unmanaged[Cdecl]<nint, OnnxValueType*, nint> GetValueType;
    [FieldOffset(68 * Slot)] public delegate* unmanaged[Cdecl]<byte*, OrtAllocatorType, int, OrtMemType, nint*, nint> CreateMemoryInfo;
    [FieldOffset(69 * Slot)] public delegate* unmanaged[Cdecl]<OrtAllocatorType, OrtMemType, nint*, nint> CreateCpuMemoryInfo;
    [FieldOffset(70 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint, int*, nint> CompareMemoryInfo;
    [FieldOffset(71 * Slot)] public delegate* unmanaged[Cdecl]<nint, byte**, nint> MemoryInfoGetName;
    [FieldOffset(72 * Slot)] public delegate* unmanaged[Cdecl]<nint, int*, nint> MemoryInfoGetId;
    [FieldOffset(73 * Slot)] public delegate* unmanaged[Cdecl]<nint, OrtMemType*, nint> MemoryInfoGetMemType;
    [FieldOffset(74 * Slot)] public delegate* unmanaged[Cdecl]<nint, OrtAllocatorType*, nint> MemoryInfoGetType;
    [FieldOffset(76 * Slot)] public delegate* unmanaged[Cdecl]<nint, void*, nint> AllocatorFree;
    [FieldOffset(77 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint*, nint> AllocatorGetInfo;
    [FieldOffset(78 * Slot)] public delegate* unmanaged[Cdecl]<nint*, nint> GetAllocatorWithDefaultOptions;
    [FieldOffset(92 * Slot)] public delegate* unmanaged[Cdecl]<nint, void> ReleaseEnv;
    [FieldOffset(93 * Slot)] public delegate* unmanaged[Cdecl]<nint, void> ReleaseStatus;
    [FieldOffset(94 * Slot)] public delegate* unmanaged[Cdecl]<nint, void> ReleaseMemoryInfo;
    [FieldOffset(95 * Slot)] public delegate* unmanaged[Cdecl]<nint, void> ReleaseSession;
    [FieldOffset(96 * Slot)] public delegate* unmanaged[Cdecl]<nint, void> ReleaseValue;
    [FieldOffset(97 * Slot)] public delegate* unmanaged[Cdecl]<nint, void> ReleaseRunOptions;
    [FieldOffset(98 * Slot)] public delegate* unmanaged[Cdecl]<nint, void> ReleaseTypeInfo;
    [FieldOffset(99 * Slot)] public delegate* unmanaged[Cdecl]<nint, void> ReleaseTensorTypeAndShapeInfo;
    [FieldOffset(100 * Slot)] public delegate* unmanaged[Cdecl]<nint, void> ReleaseSessionOptions;
    [FieldOffset(110 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint, byte**, nint> SessionEndProfiling;
    [FieldOffset(111 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint*, nint> SessionGetModelMetadata;
    [FieldOffset(112 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint, byte**, nint> ModelMetadataGetProducerName;
    [FieldOffset(113 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint, byte**, nint> ModelMetadataGetGraphName;
    [FieldOffset(114 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint, byte**, nint> ModelMetadataGetDomain;
    [FieldOffset(115 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint, byte**, nint> ModelMetadataGetDescription;
    [FieldOffset(116 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint, byte*, byte**, nint> ModelMetadataLookupCustomMetadataMap;
    [FieldOffset(117 * Slot)] public delegate* unmanaged[Cdecl]<nint, long*, nint> ModelMetadataGetVersion;
    [FieldOffset(118 * Slot)] public delegate* unmanaged[Cdecl]<nint, void> ReleaseModelMetadata;
    [FieldOffset(119 * Slot)] public delegate* unmanaged[Cdecl]<OrtLoggingLevel, byte*, nint, nint*, nint> CreateEnvWithGlobalThreadPools;
    [FieldOffset(120 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint> DisablePerSessionThreads;
    [FieldOffset(121 * Slot)] public delegate* unmanaged[Cdecl]<nint*, nint> CreateThreadingOptions;
    [FieldOffset(122 * Slot)] public delegate* unmanaged[Cdecl]<nint, void> ReleaseThreadingOptions;
    [FieldOffset(123 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint, byte***, long*, nint> ModelMetadataGetCustomMetadataMapKeys;
    [FieldOffset(124 * Slot)] public delegate* unmanaged[Cdecl]<nint, byte*, long, nint> AddFreeDimensionOverrideByName;
    [FieldOffset(125 * Slot)] public delegate* unmanaged[Cdecl]<byte***, int*, nint> GetAvailableProviders;
    [FieldOffset(126 * Slot)] public delegate* unmanaged[Cdecl]<byte**, int, nint> ReleaseAvailableProviders;
    [FieldOffset(127 * Slot)] public delegate* unmanaged[Cdecl]<nint, nuint, nuint*, nint> GetStringTensorElementLength;
    [FieldOffset(128 * Slot)] public delegate* unmanaged[Cdecl]<nint, nuint, nuint, void*, nint> GetStringTensorElement;
    [FieldOffset(130 * Slot)] public delegate* unmanaged[Cdecl]<nint, byte*, byte*, nint> AddSessionConfigEntry;
    [FieldOffset(131 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint, nint*, nint> CreateAllocator;
    [FieldOffset(132 * Slot)] public delegate* unmanaged[Cdecl]<nint, void> ReleaseAllocator;
    [FieldOffset(133 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint, nint, nint> RunWithBinding;
    [FieldOffset(134 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint*, nint> CreateIoBinding;
    [FieldOffset(135 * Slot)] public delegate* unmanaged[Cdecl]<nint, void> ReleaseIoBinding;
    [FieldOffset(136 * Slot)] public delegate* unmanaged[Cdecl]<nint, byte*, nint, nint> BindInput;
    [FieldOffset(137 * Slot)] public delegate* unmanaged[Cdecl]<nint, byte*, nint, nint> BindOutput;
    [FieldOffset(138 * Slot)] public delegate* unmanaged[Cdecl]<nint, byte*, nint, nint> BindOutputToDevice;
    [FieldOffset(139 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint, byte**, nuint**, nuint*, nint> GetBoundOutputNames;
    [FieldOffset(140 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint, nint**, nuint*, nint> GetBoundOutputValues;
    [FieldOffset(141 * Slot)] public delegate* unmanaged[Cdecl]<nint, void> ClearBoundInputs;
    [FieldOffset(142 * Slot)] public delegate* unmanaged[Cdecl]<nint, void> ClearBoundOutputs;
    [FieldOffset(147 * Slot)] public delegate* unmanaged[Cdecl]<nint, int, nint> SetGlobalIntraOpNumThreads;
    [FieldOffset(148 * Slot)] public delegate* unmanaged[Cdecl]<nint, int, nint> SetGlobalInterOpNumThreads;
    [FieldOffset(149 * Slot)] public delegate* unmanaged[Cdecl]<nint, int, nint> SetGlobalSpinControl;
    [FieldOffset(150 * Slot)] public delegate* unmanaged[Cdecl]<nint, byte*, nint, nint> AddInitializer;
    [FieldOffset(151 * Slot)] public delegate* unmanaged[Cdecl]<delegate* unmanaged[Cdecl]<void*, OrtLoggingLevel, byte*, byte*, byte*, byte*, void>, void*, OrtLoggingLevel, byte*, nint, nint*, nint> CreateEnvWithCustomLoggerAndGlobalThreadPools;
    [FieldOffset(155 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint> SetGlobalDenormalAsZero;
    [FieldOffset(158 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint, byte**, nint> ModelMetadataGetGraphDescription;
    [FieldOffset(165 * Slot)] public delegate* unmanaged[Cdecl]<nint, byte*, byte*, nint> AddRunConfigEntry;
    [FieldOffset(194 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint*, nint> GetTensorMemoryInfo;
    [FieldOffset(202 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint> SynchronizeBoundInputs;
    [FieldOffset(203 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint> SynchronizeBoundOutputs;
    [FieldOffset(204 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint, nint> SessionOptionsAppendExecutionProvider_CUDA_V2;
    [FieldOffset(205 * Slot)] public delegate* unmanaged[Cdecl]<nint*, nint> CreateCUDAProviderOptions;
    [FieldOffset(206 * Slot)] public delegate* unmanaged[Cdecl]<nint, byte**, byte**, nuint, nint> UpdateCUDAProviderOptions;
    [FieldOffset(207 * Slot)] public delegate* unmanaged[Cdecl]<nint, nint, byte**, nint> GetCUDAProviderOptionsAsString;
    [FieldOffset(208 * Slot)] public delegate* unmanaged[Cdecl]<nint, void> ReleaseCUDAProviderOptions;
    [FieldOffset(226 * Slot)] public delegate* unmanaged[Cdecl]<nint, OrtLoggingLevel, nint> UpdateEnvWithCustomLogLevel;
    [FieldOffset(252 * Slot)] public delegate* unmanaged[Cdecl]<nint, nuint, nuint, byte**, nint> GetResizedStringTensorElementBuffer;
}
