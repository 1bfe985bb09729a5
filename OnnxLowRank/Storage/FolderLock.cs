using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace OnnxLowRank.Storage;

/// <summary>
/// A lock on a folder among runs of this program, which ends with the process whatever ends that: it tells that a run is alive, and lets one at a time
/// move files. On Unix it leaves no file; file systems without locks have none to give.
/// </summary>
sealed partial class FolderLock : IDisposable
{
    const int ReadOnly = 0, Exclusive = 2, NonBlocking = 4;

    static readonly int s_closedByExec = OperatingSystem.IsLinux() ? 0x80000 : 0x1000000;

    static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(10);

    /// <summary>Others hold a lock for an instant; who holds it longer is no run of ours, and not to be waited for.</summary>
    const int Tries = 100;

    readonly SafeHandle _handle;

    FolderLock(SafeHandle handle) => _handle = handle;

    /// <summary>The lock, or null where another has it or there is none to have.</summary>
    public static FolderLock? TryTake(string folder)
    {
        if (OperatingSystem.IsWindows())
        {
            return TryTakeFile(folder + ".lock");
        }
        var handle = open(folder, ReadOnly | s_closedByExec);
        if (!handle.IsInvalid && flock(handle, Exclusive | NonBlocking) == 0)
        {
            return new(handle);
        }
        handle.Dispose();
        return null;
    }

    /// <summary>The lock when the other is done with it, or null where it cannot be had: what it orders is then left to chance.</summary>
    public static FolderLock? Take(string folder)
    {
        for (int i = 0; i < Tries; i++)
        {
            if (TryTake(folder) is { } taken)
            {
                return taken;
            }
            Thread.Sleep(s_pause);
        }
        return null;
    }

    static FolderLock? TryTakeFile(string path)
    {
        try
        {
            return new(new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 1, FileOptions.DeleteOnClose).SafeFileHandle);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    public void Dispose() => _handle.Dispose();

    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial SafeFileHandle open(string path, int flags);

    [LibraryImport("libc")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int flock(SafeFileHandle file, int operation);
}
