using System.Runtime.InteropServices;

namespace Microsoft.ML.OnnxRuntime.Native;

/// <summary>
/// Decides where the native library comes from: the file that the environment variable ONNXRUNTIME_LIB names (then nothing else
/// is tried), else the one beside the program or that a package brought, else the system's.
/// </summary>
/// <param name="Chosen">Value of ONNXRUNTIME_LIB; null or empty if there is none.</param>
/// <param name="Folders">Where the program lies, and where packages' libraries do.</param>
/// <param name="Names">File names of the library, in order of preference.</param>
sealed record LibraryResolver(string? Chosen, IReadOnlyList<string> Folders, IReadOnlyList<string> Names)
{
    public const string Variable = "ONNXRUNTIME_LIB";
    const string Export = "OrtGetApiBase";

    public static LibraryResolver Default =>
        new(Environment.GetEnvironmentVariable(Variable), [.. PackageFolders.Prepend(AppContext.BaseDirectory).Distinct()], FileNames);

    /// <summary>As the host found them: runtimes/PLATFORM/native of every package.</summary>
    static string[] PackageFolders =>
        (AppContext.GetData("NATIVE_DLL_SEARCH_DIRECTORIES") as string)?.Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries) ?? [];

    static string[] FileNames =>
        OperatingSystem.IsWindows() ? ["onnxruntime.dll"]
        : OperatingSystem.IsMacOS() ? ["libonnxruntime.1.dylib", "libonnxruntime.dylib"]
        : ["libonnxruntime.so.1", "libonnxruntime.so"];

    /// <summary>The first library that loads: the address of its one export, and where it was found.</summary>
    /// <exception cref="DllNotFoundException">No library loads, or the chosen one does not; says where it looked and what was wrong.</exception>
    public (nint GetApiBase, string Place) Find()
    {
        if (!string.IsNullOrEmpty(Chosen))
        {
            return TryLoad(Path.GetFullPath(Chosen), out nint chosen) is { } problem
                ? throw new DllNotFoundException($"{Variable} names '{Chosen}', which is not a usable ONNX Runtime library: {problem}")
                : (chosen, Chosen);
        }

        List<string> looked = [$"{Variable} (not set)"];
        foreach (var place in Folders.SelectMany(folder => Names.Select(name => Path.Combine(folder, name))).Concat(Names))
        {
            if (TryLoad(place, out nint export) is not { } problem)
            {
                return (export, place);
            }
            looked.Add($"{place} ({problem})");
        }
        throw new DllNotFoundException(
            $"no ONNX Runtime library found; set {Variable} to a libonnxruntime, 1.17 or newer. Looked at: {string.Join("; ", looked)}");
    }

    /// <summary>Null if the library was loaded and has the export, else what is wrong with it.</summary>
    static string? TryLoad(string place, out nint export)
    {
        export = 0;
        if (Path.IsPathRooted(place) && !File.Exists(place))
        {
            return "no such file";
        }
        nint library;
        try
        {
            library = NativeLibrary.Load(place);
        }
        catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
        {
            return e.Message.ReplaceLineEndings(" ").Trim();
        }
        if (NativeLibrary.TryGetExport(library, Export, out export))
        {
            return null;
        }
        NativeLibrary.Free(library);
        return $"it has no {Export}";
    }
}
