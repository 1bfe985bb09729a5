using System.Runtime.InteropServices;

namespace Microsoft.ML.OnnxRuntime.Native;

/// <summary>
/// Handles that must outlive something else: a session's initializers, the tensors in a binding, the inputs of a running call.
/// Their owner may dispose them meanwhile; they are released when the last reference goes. Not for use from several threads.
/// </summary>
/// <remarks>Safe inside a finalizer: a handle finalized first stays alive until its references are given back.</remarks>
sealed class References : IDisposable
{
    readonly List<SafeHandle> _handles = [];

    /// <summary>References to all of these, or to none if one of them is disposed.</summary>
    public static References To(IEnumerable<SafeHandle> handles)
    {
        var references = new References();
        try
        {
            foreach (var handle in handles)
            {
                references.Add(handle);
            }
            return references;
        }
        catch
        {
            references.Dispose();
            throw;
        }
    }

    public IReadOnlyList<SafeHandle> Handles => _handles;

    public nint[] Pointers => [.. _handles.Select(handle => handle.DangerousGetHandle())];

    public void Add(SafeHandle handle)
    {
        _handles.EnsureCapacity(_handles.Count + 1); // so that nothing fails between the two lines below
        Borrowed.AddRef(handle);
        _handles.Add(handle);
    }

    public void Dispose()
    {
        for (int i = _handles.Count - 1; i >= 0; i--)
        {
            _handles[i].DangerousRelease();
        }
        _handles.Clear();
    }
}
