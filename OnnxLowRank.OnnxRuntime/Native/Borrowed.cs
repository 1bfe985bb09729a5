using System.Runtime.InteropServices;

namespace Microsoft.ML.OnnxRuntime.Native;

/// <summary>
/// The pointer inside a handle, for the time of a call: until Dispose, neither another thread's Dispose nor the garbage
/// collector can release the object. Every raw call goes through this.
/// </summary>
readonly ref struct Borrowed
{
    readonly SafeHandle? _owner;

    /// <exception cref="ObjectDisposedException">The object was disposed.</exception>
    public Borrowed(SafeHandle owner)
    {
        AddRef(owner);
        (_owner, Pointer) = (owner, owner.DangerousGetHandle());
    }

    /// <summary>The pointer to hand to the library; 0 for <see cref="OrNull"/> of null.</summary>
    public nint Pointer { get; }

    /// <summary>As the constructor, where C takes a null pointer for "the default".</summary>
    public static Borrowed OrNull(SafeHandle? owner) => owner is null ? default : new(owner);

    /// <summary>One more reference on a handle; to be given back with <see cref="SafeHandle.DangerousRelease"/>.</summary>
    public static void AddRef(SafeHandle handle)
    {
        ArgumentNullException.ThrowIfNull(handle);
        ObjectDisposedException.ThrowIf(handle.IsClosed, handle);
        bool added = false;
        handle.DangerousAddRef(ref added);
    }

    public void Dispose() => _owner?.DangerousRelease();
}
