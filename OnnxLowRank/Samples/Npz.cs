using System.IO.Compression;

namespace OnnxLowRank.Samples;

/// <summary>
/// A .npz archive: a zip of .npy files, stored or deflated. An array is unpacked into a scratch file, exactly the bytes that its
/// header announces and never more, so a zip bomb cannot grow beyond the limit that the caller checks headers against.
/// </summary>
sealed class Npz : IDisposable
{
    readonly string _path;
    readonly FileStream _file;
    readonly ZipArchive _archive;
    readonly Dictionary<string, ZipArchiveEntry> _arrays = [];

    /// <exception cref="DataException">The file is no zip, or two of its arrays have the same name.</exception>
    public Npz(string path)
    {
        _path = path;
        _file = DataFile.Open(path);
        try
        {
            _archive = DataFile.Reading(path, () => new ZipArchive(_file, ZipArchiveMode.Read));
            foreach (var entry in DataFile.Reading(path, () => _archive.Entries))
            {
                const string Suffix = ".npy";
                if (!entry.FullName.EndsWith(Suffix, StringComparison.Ordinal))
                {
                    continue;
                }
                string name = entry.FullName[..^Suffix.Length];
                if (!_arrays.TryAdd(name, entry))
                {
                    throw new DataException($"{path}: has two arrays named '{name}'");
                }
            }
        }
        catch
        {
            _file.Dispose();
            throw;
        }
    }

    /// <summary>Names of the arrays: of the entries, without ".npy".</summary>
    public IReadOnlyCollection<string> Names => _arrays.Keys;

    /// <summary>The header alone, with the check that the entry announces to be as long as the header says.</summary>
    public NpyHeader ReadHeader(string name)
    {
        var entry = Entry(name);
        using var stream = DataFile.Reading(Describe(name), entry.Open);
        var header = NpyHeader.Read(stream, Describe(name));
        Npy.RequireLength(header, entry.Length - header.HeaderBytes, Describe(name));
        return header;
    }

    /// <summary>Unpacks one array. Needs as much room for temporary files as the array has bytes, twice that in Fortran order.</summary>
    /// <exception cref="DataException">The entry is broken or shorter than its header says.</exception>
    /// <exception cref="IOException">There is no room for the scratch file.</exception>
    public SampleArray Unpack(string name)
    {
        using var stream = DataFile.Reading(Describe(name), Entry(name).Open);
        return Npy.Unpack(stream, NpyHeader.Read(stream, Describe(name)), Describe(name));
    }

    /// <summary>How messages call an array: archive.npz(name).</summary>
    public string Describe(string name) => $"{_path}({name})";

    public void Dispose()
    {
        _archive.Dispose();
        _file.Dispose();
    }

    ZipArchiveEntry Entry(string name)
    {
        var entry = _arrays[name];
        return entry.IsEncrypted ? throw new DataException($"{Describe(name)}: is encrypted") : entry;
    }
}
