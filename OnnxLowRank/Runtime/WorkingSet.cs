using System.Runtime.InteropServices;

namespace OnnxLowRank.Runtime;

/// <summary>Memory of this process that is in use.</summary>
static partial class WorkingSet
{
    /// <summary>
    /// Resident bytes, after what is free has been given back: garbage and, with glibc, freed blocks that the C library keeps. Otherwise a model that is
    /// loaded after another would live in that one's leavings and seem to take nothing.
    /// </summary>
    public static long Bytes()
    {
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        if (OperatingSystem.IsLinux())
        {
            try
            {
                _ = Trim(0);
            }
            catch (EntryPointNotFoundException)
            {
                // Another C library: its own affair.
            }
        }
        return Environment.WorkingSet;
    }

    [LibraryImport("libc", EntryPoint = "malloc_trim")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Trim(nuint padding);
}
