using System.Runtime.InteropServices;

namespace Microsoft.ML.OnnxRuntime.Native;

/// <summary>The loaded library, and the one place where its errors become exceptions.</summary>
static unsafe class Ort
{
    static readonly Lock s_loading = new();
    static OrtApi* s_api;
    static string s_version = "";

    /// <summary>The function table; loads the library on first use.</summary>
    /// <exception cref="DllNotFoundException">
    /// There is no usable library; the message lists the places looked at. Every use tries again, so the error is never a
    /// <see cref="TypeInitializationException"/>.
    /// </exception>
    public static OrtApi* Api => s_api != null ? s_api : Load();

    /// <summary>What the library says it is, "1.30.0".</summary>
    public static string VersionString
    {
        get
        {
            _ = Api;
            return s_version;
        }
    }

    /// <summary>Throws if a call failed. Every OrtStatus that the library returns passes here once, and is released.</summary>
    public static void Check(nint status)
    {
        if (status == 0)
        {
            return;
        }
        var api = Api;
        try
        {
            throw new OnnxRuntimeException(api->GetErrorCode(status), Utf8.Read(api->GetErrorMessage(status)));
        }
        finally
        {
            api->ReleaseStatus(status);
        }
    }

    static OrtApi* Load()
    {
        lock (s_loading)
        {
            if (s_api == null)
            {
                var (getApiBase, place) = LibraryResolver.Default.Find();
                var library = ((delegate* unmanaged[Cdecl]<ApiBase*>)getApiBase)();
                s_version = Utf8.Read(library->GetVersionString());
                s_api = library->GetApi(OrtApi.Version);
                if (s_api == null)
                {
                    throw new DllNotFoundException($"'{place}' is ONNX Runtime {s_version}; 1.17 or newer is needed");
                }
            }
            return s_api;
        }
    }

    [StructLayout(LayoutKind.Sequential)]
    struct ApiBase
    {
        public delegate* unmanaged[Cdecl]<uint, OrtApi*> GetApi;
        public delegate* unmanaged[Cdecl]<byte*> GetVersionString;
    }
}
