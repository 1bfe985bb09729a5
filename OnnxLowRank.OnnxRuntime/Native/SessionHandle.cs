using System.Runtime.InteropServices;

namespace Microsoft.ML.OnnxRuntime.Native;

/// <summary>Owns an OrtSession*, and keeps what it points to: the environment and the initializers given from outside.</summary>
sealed unsafe class SessionHandle : SafeHandle
{
    readonly References _uses;

    /// <param name="uses">Given back when the session is released; from here on this handle's business.</param>
    public SessionHandle(nint session, References uses) : base(0, ownsHandle: true)
    {
        _uses = uses;
        SetHandle(session);
    }

    public override bool IsInvalid => handle == 0;

    protected override bool ReleaseHandle()
    {
        Ort.Api->ReleaseSession(handle);
        _uses.Dispose();
        return true;
    }
}
