using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace OnnxLowRank.Numerics;

/// <summary>
/// OpenBLAS, found at run time: the functions we use, under their C and Fortran names, so that netlib.org/lapack is the documentation.
/// </summary>
/// <remarks>
/// Fortran arguments are pointers; each CHARACTER argument adds its length, a size_t, at the end of the list (gfortran's convention).
/// Integers are 32 bits wide; builds with 64-bit integers are refused.
/// </remarks>
sealed unsafe partial class OpenBlasLibrary
{
    static readonly string[] s_names = ["libopenblas.so.0", "libopenblas.so", "libopenblas.dylib", "libopenblas.dll", "openblas.dll"];
    static readonly Lock s_lock = new();
    static (OpenBlasLibrary? Library, IReadOnlyList<string> Refusals)? s_shared;

    public readonly delegate* unmanaged<byte*, byte*, int*, double*, int*, double*, double*, int*, int*, int*, int*, nint, nint, void> dsyevd;
    public readonly delegate* unmanaged<byte*, int*, int*, double*, int*, double*, double*, int*, double*, int*, double*, int*, int*, int*, nint, void> dgesdd;
    public readonly delegate* unmanaged<byte*, byte*, int*, int*, double*, int*, double*, double*, int*, double*, int*, double*, int*, int*, nint, nint, void> dgesvd;
    public readonly delegate* unmanaged<int*, int*, double*, int*, double*, double*, int*, int*, void> dgelqf;
    public readonly delegate* unmanaged<int*, int*, int*, double*, int*, double*, double*, int*, int*, void> dorglq;
    public readonly delegate* unmanaged<byte*, int*, double*, int*, int*, nint, void> dpotrf;
    public readonly delegate* unmanaged<int, int, int, int, int, int, double, double*, int, double*, int, double, double*, int, void> cblas_dgemm;
    public readonly delegate* unmanaged<int, int, int, int, int, double, double*, int, double, double*, int, void> cblas_dsyrk;
    public readonly delegate* unmanaged<int, int, int, int, int, int, int, double, double*, int, double*, int, void> cblas_dtrsm;
    public readonly delegate* unmanaged<int, void> openblas_set_num_threads;
    public readonly delegate* unmanaged<int> openblas_get_num_threads;

    OpenBlasLibrary(nint handle)
    {
        // First, so that a library that is not OpenBLAS is said to be that.
        var config = (delegate* unmanaged<byte*>)Symbol(handle, "openblas_get_config");
        var core = (delegate* unmanaged<byte*>)Symbol(handle, "openblas_get_corename");
        Config = Marshal.PtrToStringUTF8((nint)config()) ?? "";
        Core = Marshal.PtrToStringUTF8((nint)core()) ?? "";

        dsyevd = (delegate* unmanaged<byte*, byte*, int*, double*, int*, double*, double*, int*, int*, int*, int*, nint, nint, void>)Symbol(handle, "dsyevd_");
        dgesdd = (delegate* unmanaged<byte*, int*, int*, double*, int*, double*, double*, int*, double*, int*, double*, int*, int*, int*, nint, void>)Symbol(handle, "dgesdd_");
        dgesvd = (delegate* unmanaged<byte*, byte*, int*, int*, double*, int*, double*, double*, int*, double*, int*, double*, int*, int*, nint, nint, void>)Symbol(handle, "dgesvd_");
        dgelqf = (delegate* unmanaged<int*, int*, double*, int*, double*, double*, int*, int*, void>)Symbol(handle, "dgelqf_");
        dorglq = (delegate* unmanaged<int*, int*, int*, double*, int*, double*, double*, int*, int*, void>)Symbol(handle, "dorglq_");
        dpotrf = (delegate* unmanaged<byte*, int*, double*, int*, int*, nint, void>)Symbol(handle, "dpotrf_");
        cblas_dgemm = (delegate* unmanaged<int, int, int, int, int, int, double, double*, int, double*, int, double, double*, int, void>)Symbol(handle, "cblas_dgemm");
        cblas_dsyrk = (delegate* unmanaged<int, int, int, int, int, double, double*, int, double, double*, int, void>)Symbol(handle, "cblas_dsyrk");
        cblas_dtrsm = (delegate* unmanaged<int, int, int, int, int, int, int, double, double*, int, double*, int, void>)Symbol(handle, "cblas_dtrsm");
        openblas_set_num_threads = (delegate* unmanaged<int, void>)Symbol(handle, "openblas_set_num_threads");
        openblas_get_num_threads = (delegate* unmanaged<int>)Symbol(handle, "openblas_get_num_threads");
    }

    /// <summary>"OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH NO_AFFINITY Cooperlake MAX_THREADS=64".</summary>
    public string Config { get; }

    /// <summary>The kernels in use, named by the CPU they were first written for.</summary>
    public string Core { get; }

    /// <summary>"OpenBLAS 0.3.21".</summary>
    public string Version => string.Join(' ', Config.Split(' ').Take(2));

    /// <summary>Finds the library once per process: OPENBLAS_LIB if that is set, else the usual names on the system's search path.</summary>
    /// <param name="threads">How many threads the library should start when it is loaded.</param>
    /// <param name="refusals">Libraries that were found but are unfit, with the reason.</param>
    /// <returns>Null when there is none.</returns>
    /// <exception cref="DllNotFoundException">OPENBLAS_LIB names a library that cannot be used.</exception>
    public static OpenBlasLibrary? Shared(int threads, out IReadOnlyList<string> refusals)
    {
        lock (s_lock)
        {
            if (s_shared is null)
            {
                PrepareEnvironment(threads);
                var found = Find(Environment.GetEnvironmentVariable("OPENBLAS_LIB"), s_names, out refusals);
                s_shared = (found, refusals);
            }
            (var library, refusals) = s_shared.Value;
            return library;
        }
    }

    /// <summary>The search behind <see cref="Shared"/>, without its memory.</summary>
    /// <param name="path">What OPENBLAS_LIB says; null or empty if it says nothing.</param>
    public static OpenBlasLibrary? Find(string? path, IReadOnlyList<string> names, out IReadOnlyList<string> refusals)
    {
        var reasons = new List<string>();
        refusals = reasons;
        if (!string.IsNullOrEmpty(path))
        {
            try
            {
                return Open(NativeLibrary.Load(path));
            }
            catch (Exception e) when (e is DllNotFoundException or BadImageFormatException or EntryPointNotFoundException or NotSupportedException)
            {
                throw new DllNotFoundException($"OPENBLAS_LIB is '{path}', which cannot be used: {e.Message.TrimEnd().Split('\n')[^1]}", e); // before it, .NET gives advice
            }
        }
        foreach (var name in names)
        {
            if (!NativeLibrary.TryLoad(name, typeof(OpenBlasLibrary).Assembly, null, out nint handle))
            {
                continue;
            }
            try
            {
                return Open(handle);
            }
            catch (Exception e) when (e is EntryPointNotFoundException or NotSupportedException)
            {
                reasons.Add($"{name} is not used: {e.Message}");
            }
        }
        return null;
    }

    /// <summary>Why a build cannot be used, from what openblas_get_config says; null if it can.</summary>
    public static string? WhyUnfit(string config) => config.Contains("USE64BITINT", StringComparison.Ordinal)
        ? $"it is built with 64-bit integers (ILP64), 32-bit ones are needed: {config}"
        : null;

    /// <summary>The OPENBLAS_CORETYPE for this CPU; null where the choice is left to the library.</summary>
    public static string? CoreType()
    {
        bool avx512 = Avx512F.IsSupported && Avx512F.VL.IsSupported && Avx512DQ.IsSupported && Avx512BW.IsSupported && Avx512CD.IsSupported;
        bool avx2 = Avx2.IsSupported && Fma.IsSupported;
        return avx512 ? "SkylakeX" : avx2 ? "Haswell" : null;
    }

    /// <summary>A library found unfit stays loaded: unloading one that has started threads is the greater risk.</summary>
    static OpenBlasLibrary Open(nint handle)
    {
        var library = new OpenBlasLibrary(handle);
        return WhyUnfit(library.Config) is { } reason ? throw new NotSupportedException(reason) : library;
    }

    static nint Symbol(nint handle, string name) => NativeLibrary.GetExport(handle, name);

    /// <summary>
    /// Tells OpenBLAS which kernels to use and how many threads to start, unless the user's environment says so already. It reads both
    /// when it is loaded, through getenv, which does not see what <see cref="Environment.SetEnvironmentVariable(string, string?)"/> sets.
    /// </summary>
    /// <remarks>
    /// Why always, and not only where OpenBLAS would choose badly: what it would choose is known only after loading, and then it is too late.
    /// It goes by a list of CPU models. Before 0.3.19 (December 2021) a CPU not on the list got kernels for the Pentium 4 "Prescott"
    /// (a quarter of the speed of the AVX-512 ones), and before 0.3.21 AMD's Zen 4 got those without AVX-512. Where it chooses well
    /// nothing is lost in double precision: its Cooperlake and SapphireRapids kernels are the SkylakeX ones plus bfloat16, its Zen
    /// kernels are nearly the Haswell ones. (driver/others/dynamic.c and kernel/x86_64/KERNEL.* at v0.3.19 … v0.3.28.)
    /// Builds without DYNAMIC_ARCH do not read the variable, and those without a SkylakeX kernel take their next lower one.
    /// </remarks>
    static void PrepareEnvironment(int threads)
    {
        if (OperatingSystem.IsWindows())
        {
            return; // every C runtime there has its own environment; the library's own choice has to do
        }
        const int keep = 0; // what is set already
        if (CoreType() is { } core)
        {
            _ = setenv("OPENBLAS_CORETYPE", core, keep);
        }
        _ = setenv("OPENBLAS_NUM_THREADS", threads.ToString(System.Globalization.CultureInfo.InvariantCulture), keep);
    }

    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int setenv(string name, string value, int overwrite);
}
