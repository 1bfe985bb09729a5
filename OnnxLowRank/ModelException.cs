namespace OnnxLowRank;

/// <summary>A model that cannot be processed: unreadable, not valid, or not runnable. The message says what, where (file, node or tensor) and what to do.</summary>
public sealed class ModelException : Exception
{
    /// <summary>Creates an exception without a message; prefer one that says what is wrong.</summary>
    public ModelException()
    {
    }

    /// <summary>Creates an exception that says what is wrong, and where.</summary>
    public ModelException(string message) : base(message)
    {
    }

    /// <summary>Creates an exception that says what is wrong, and where, and carries its cause.</summary>
    public ModelException(string message, Exception innerException) : base(message, innerException)
    {
    }
}
