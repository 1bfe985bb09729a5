namespace OnnxLowRank.Storage;

/// <summary>
/// An output that appears whole or not at all: files are written into a hidden folder beside their destination, can be loaded
/// from there, and are moved into place by <see cref="Commit"/>. Disposing without a commit leaves nothing behind; what a killed run leaves,
/// the next to the same destination removes.
/// </summary>
/// <remarks>
/// Files beside the destination are moved before it and those it had are removed after it, so a run may be killed anywhere in between: at every moment the
/// destination is the old file or the new one, each with its own files, as long as those have different names or the same content.
/// </remarks>
sealed class StagedOutput : IDisposable
{
    const string Ending = ".tmp";

    readonly string _parent;
    readonly string _folder;
    readonly string _destination;
    readonly Func<string, IReadOnlyCollection<string>?> _companions;
    readonly FolderLock? _alive;
    readonly Lock _ending = new();
    readonly CancellationTokenRegistration _registration;
    bool _isAbandoned;

    /// <summary>Creates the hidden folder, so that an unwritable destination is found before any work is done.</summary>
    /// <param name="companions">Names of files beside a file at the destination that are its own, to be removed with it; null if that cannot be told. Null for none.</param>
    /// <param name="cancellation">What is staged vanishes as soon as this is cancelled, even while native code is still running.</param>
    /// <exception cref="IOException">The destination's folder does not exist or cannot be written.</exception>
    public StagedOutput(string destination, Func<string, IReadOnlyCollection<string>?>? companions = null, CancellationToken cancellation = default)
    {
        _destination = Path.GetFullPath(destination);
        _companions = companions ?? (_ => []);
        _parent = Path.GetDirectoryName(_destination) ?? throw new IOException($"{destination}: is not a file name");
        if (Directory.Exists(_destination))
        {
            throw new IOException($"{destination}: is a folder");
        }
        if (!Directory.Exists(_parent))
        {
            throw new IOException($"{destination}: folder {_parent} does not exist");
        }
        _folder = Path.Combine(_parent, Prefix + Path.GetRandomFileName() + Ending);
        try
        {
            using var turn = FolderLock.Take(_parent); // or another run takes the folder for a killed one's before it is locked
            RemoveDead();
            Directory.CreateDirectory(_folder);
            _alive = FolderLock.TryTake(_folder);
        }
        catch (Exception e) when (e is UnauthorizedAccessException or IOException)
        {
            throw new IOException($"{destination}: cannot be written: {e.Message}", e);
        }
        _registration = cancellation.Register(Abandon);
    }

    string Prefix => $".{Path.GetFileName(_destination)}.";

    /// <summary>Where to write; same file name as the destination, so that references to files beside it hold.</summary>
    public string StagedPath => Path.Combine(_folder, Path.GetFileName(_destination));

    /// <summary>Bytes staged so far.</summary>
    public long Bytes => Directory.EnumerateFiles(_folder).Sum(file => new FileInfo(file).Length);

    /// <summary>Creates a folder for scratch files that vanishes with what is staged; the caller may delete it before.</summary>
    public string CreateScratchFolder() => Directory.CreateDirectory(Path.Combine(_folder, Path.GetRandomFileName())).FullName;

    /// <summary>Removes what was staged, to stage something else.</summary>
    public void Clear()
    {
        foreach (string file in Directory.EnumerateFiles(_folder))
        {
            File.Delete(file);
        }
    }

    /// <summary>Moves everything into place, and removes the replaced file's own companions.</summary>
    /// <exception cref="OperationCanceledException">It was abandoned before.</exception>
    /// <exception cref="IOException">A file cannot be moved; the destination is as it was.</exception>
    public void Commit()
    {
        lock (_ending)
        {
            if (_isAbandoned)
            {
                throw new OperationCanceledException();
            }
            using var turn = FolderLock.Take(_parent);
            string[] beside = [.. Directory.EnumerateFiles(_folder).Select(file => Path.GetFileName(file)).Where(name => name != Path.GetFileName(_destination))];
            string[] affected = [.. beside.Union(_companions(_destination) ?? [])];
            if (affected.Length > 0)
            {
                File.WriteAllLines(Journal(_folder), affected);
            }
            try
            {
                foreach (string name in beside)
                {
                    File.Move(Path.Combine(_folder, name), Path.Combine(_parent, name), overwrite: true);
                }
                File.Move(StagedPath, _destination, overwrite: true);
            }
            finally
            {
                RemoveUnused(affected);
            }
        }
    }

    /// <summary>What a commit is going to touch beside the destination, for the next run if this one is killed on the way.</summary>
    string Journal(string folder) => Path.Combine(folder, Path.GetFileName(_destination) + ".journal");

    /// <summary>Removes those of these files that the destination, as it is now, does not own.</summary>
    void RemoveUnused(IEnumerable<string> names)
    {
        if (_companions(_destination) is not { } used)
        {
            return;
        }
        foreach (string name in names.Except(used))
        {
            var file = new FileInfo(Path.Combine(_parent, name));
            if (file.LinkTarget == null)
            {
                TryTo(file.Delete);
            }
        }
    }

    /// <summary>Removes the hidden folders of runs to this destination that were killed, and what they had put aside in files (see <see cref="Spill"/>).</summary>
    void RemoveDead()
    {
        int length = Prefix.Length + Path.GetRandomFileName().Length + Ending.Length;
        bool IsOurs(string path) => Path.GetFileName(path).Length == length;
        foreach (string file in Directory.GetFiles(_parent, Prefix + "*" + Ending).Where(IsOurs))
        {
            TryTo(() => new FileStream(file, FileMode.Open, FileAccess.ReadWrite, FileShare.None, bufferSize: 1, FileOptions.DeleteOnClose).Dispose()); // fails while it is in use
        }
        foreach (string folder in Directory.GetDirectories(_parent, Prefix + "*" + Ending).Where(IsOurs))
        {
            using var dead = FolderLock.TryTake(folder);
            if (dead != null)
            {
                TryTo(() =>
                {
                    if (File.Exists(Journal(folder)))
                    {
                        RemoveUnused(File.ReadAllLines(Journal(folder)));
                    }
                    Directory.Delete(folder, recursive: true);
                });
            }
        }
    }

    /// <summary>Tidies up, which is not worth failing for.</summary>
    static void TryTo(Action tidy)
    {
        try
        {
            tidy();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // It stays, to be tried again by the next run.
        }
    }

    public void Dispose()
    {
        _registration.Dispose();
        Abandon();
        _alive?.Dispose();
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
