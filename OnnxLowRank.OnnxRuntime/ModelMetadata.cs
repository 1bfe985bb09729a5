using Microsoft.ML.OnnxRuntime.Native;
using static Microsoft.ML.OnnxRuntime.Native.Ort;

namespace Microsoft.ML.OnnxRuntime;

/// <summary>What a model says about itself; "" where it says nothing.</summary>
public unsafe class ModelMetadata
{
    internal ModelMetadata(SessionHandle of)
    {
        nint metadata;
        using var session = new Borrowed(of);
        Check(Api->SessionGetModelMetadata(session.Pointer, &metadata));
        try
        {
            nint allocator = OrtAllocator.DefaultPointer;
            ProducerName = Read(Api->ModelMetadataGetProducerName, metadata, allocator);
            GraphName = Read(Api->ModelMetadataGetGraphName, metadata, allocator);
            Domain = Read(Api->ModelMetadataGetDomain, metadata, allocator);
            Description = Read(Api->ModelMetadataGetDescription, metadata, allocator);
            GraphDescription = Read(Api->ModelMetadataGetGraphDescription, metadata, allocator);
            long version;
            Check(Api->ModelMetadataGetVersion(metadata, &version));
            Version = version;
            CustomMetadataMap = ReadMap(metadata, allocator);
        }
        finally
        {
            Api->ReleaseModelMetadata(metadata);
        }
    }

    /// <summary>The program that made the model.</summary>
    public string ProducerName { get; }

    /// <summary>Name of the graph.</summary>
    public string GraphName { get; }

    /// <summary>Namespace of the model, a reversed host name.</summary>
    public string Domain { get; }

    /// <summary>What the model is, in words.</summary>
    public string Description { get; }

    /// <summary>What the graph is, in words.</summary>
    public string GraphDescription { get; }

    /// <summary>Version of the model; <see cref="long.MaxValue"/> where it has none.</summary>
    public long Version { get; }

    /// <summary>metadata_props.</summary>
    public Dictionary<string, string> CustomMetadataMap { get; }

    static string Read(delegate* unmanaged[Cdecl]<nint, nint, byte**, nint> slot, nint metadata, nint allocator)
    {
        byte* text;
        Check(slot(metadata, allocator, &text));
        return Utf8.Take(text);
    }

    static Dictionary<string, string> ReadMap(nint metadata, nint allocator)
    {
        byte** keys;
        long count;
        Check(Api->ModelMetadataGetCustomMetadataMapKeys(metadata, allocator, &keys, &count));
        try
        {
            var map = new Dictionary<string, string>();
            for (long i = 0; i < count; i++)
            {
                byte* value;
                Check(Api->ModelMetadataLookupCustomMetadataMap(metadata, allocator, keys[i], &value));
                map[Utf8.Read(keys[i])] = Utf8.Take(value);
            }
            return map;
        }
        finally
        {
            for (long i = 0; i < count; i++)
            {
                OrtAllocator.FreeDefault(keys[i]);
            }
            OrtAllocator.FreeDefault(keys);
        }
    }
}
