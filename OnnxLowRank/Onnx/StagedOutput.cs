namespace OnnxLowRank.Onnx;

/// <summary>
/// An output that appears whole or not at all: files are written into a hidden folder beside their destination, can be loaded
/// from there, and are moved into place by <see cref="Commit"/>. Disposing without a commit leaves nothing behind.
/// </summary>
sealed class StagedOutput : IDisposable
{
    readonly string _folder;
    readonly string _destination;
    readonly Lock _ending = new();
    readonly CancellationTokenRegistration _registration;
    bool _isAbandoned;

    /// <summary>Creates the hidden folder, so that an unwritable destination is found before any work is done.</summary>
    /// <param name="cancellation">What is staged vanishes as soon as this is cancelled, even while native code is still running.</param>
    /// <exception cref="IOException">The destination's folder does not exist or cannot be written.</exception>
    public StagedOutput(string destination, CancellationToken cancellation = default)
    {
        _destination = Path.GetFullPath(destination);
        string parent = Path.GetDirectoryName(_destination) ?? throw new IOException($"{destination}: is not a file name");
        if (Directory.Exists(_destination))
        {
            throw new IOException($"{destination}: is a folder");
        }
        if (!Directory.Exists(parent))
        {
            throw new IOException($"{destination}: folder {parent} does not exist");
        }
        string unique = Path.GetRandomFileName();
        _folder = Path.Combine(parent, $".{Path.GetFileName(_destination)}.{unique}.tmp");
        try
        {
            Directory.CreateDirectory(_folder);
        }
        catch (Exception e) when (e is UnauthorizedAccessException or IOException)
        {
            throw new IOException($"{destination}: cannot be written: {e.Message}", e);
        }
        _registration = cancellation.Register(Abandon);
    }

    /// <summary>Where to write; same file name as the destination, so that references to files beside it hold.</summary>
    public string ModelPath => Path.Combine(_folder, Path.GetFileName(_destination));

    /// <summary>Bytes staged so far.</summary>
    public long Bytes => Directory.EnumerateFiles(_folder).Sum(file => new FileInfo(file).Length);

    /// <summary>Removes what was staged, to stage something else.</summary>
    public void Clear()
    {
        foreach (string file in Directory.EnumerateFiles(_folder))
        {
            File.Delete(file);
        }
    }

    /// <summary>Moves everything into place, the model last. An older output is removed first: never an old model with new data.</summary>
    /// <exception cref="OperationCanceledException">It was abandoned before.</exception>
    public void Commit()
    {
        lock (_ending)
        {
            if (_isAbandoned)
            {
                throw new OperationCanceledException();
            }
            var beside = Directory.EnumerateFiles(_folder).Where(file => file != ModelPath).ToList();
            if (beside.Count > 0)
            {
                File.Delete(_destination);
            }
            foreach (string file in beside)
            {
                File.Move(file, Path.Combine(Path.GetDirectoryName(_destination)!, Path.GetFileName(file)), overwrite: true);
            }
            File.Move(ModelPath, _destination, overwrite: true);
        }
    }

    public void Dispose()
    {
        _registration.Dispose();
        Abandon();
    }

    /// <summary>Removes what is staged, at once, whatever other threads are doing; a commit that has begun is finished first.</summary>
    void Abandon()
    {
        const int Tries = 5;
        lock (_ending)
        {
            _isAbandoned = true;
            for (int i = 0; i < Tries && Directory.Exists(_folder); i++)
            {
                try
                {
                    Directory.Delete(_folder, recursive: true);
                }
                catch (Exception e) when (i + 1 < Tries && e is IOException or UnauthorizedAccessException)
                {
                    Thread.Sleep(10); // a file has just appeared in it
                }
            }
        }
    }
}
