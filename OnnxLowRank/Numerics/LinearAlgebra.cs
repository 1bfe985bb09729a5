namespace OnnxLowRank.Numerics;

/// <summary>Chooses the fastest <see cref="ILinearAlgebra"/> there is.</summary>
static class LinearAlgebra
{
    /// <summary>OpenBLAS if it is found, else the managed one, which is always there.</summary>
    /// <param name="threads">At least 1. OpenBLAS has one count per process: the last one asked for holds for all.</param>
    /// <param name="note">Told, in one line, why an OpenBLAS that was found is not used.</param>
    /// <exception cref="DllNotFoundException">The environment variable OPENBLAS_LIB names a library that cannot be used.</exception>
    public static ILinearAlgebra Create(int threads, Action<string>? note = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(threads, 1);

        var library = OpenBlasLibrary.Shared(threads, out var refusals);
        foreach (var refusal in refusals)
        {
            note?.Invoke(refusal);
        }
        return library is null ? new ManagedAlgebra(threads) : new OpenBlasAlgebra(library, threads);
    }
}
