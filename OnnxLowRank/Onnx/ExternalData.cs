using System.Globalization;
using System.Security.Cryptography;
using Google.Protobuf;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Onnx;

/// <summary>Tensors whose bytes live in files beside the model.</summary>
static class ExternalData
{
    /// <summary>Tensors below this size stay in the model file when the rest moves out, so that graphs stay readable by themselves.</summary>
    const int SmallestMoved = 1024;

    /// <summary>A tensor may lie within another; a thousand, each shifted by a byte, would make a thousand times the file of it.</summary>
    const int MostOverlap = 4;

    /// <summary>Offsets are multiples of this, so that runtimes can map tensors into memory.</summary>
    const int Alignment = 4096;

    /// <summary>
    /// Gives every external tensor its bytes: large ones stay in their files, mapped into memory. Tensors that share a place in a file share its bytes.
    /// </summary>
    /// <returns>The files that are read, by their real paths, and how many bytes of tensors lie in each; what tensors share counts once.</returns>
    /// <exception cref="ModelException">A file is missing, too short, or outside the model's folder; the message names the tensor.</exception>
    public static IReadOnlyDictionary<string, long> Load(ModelProto model, string folder)
    {
        var files = new Dictionary<string, ExternalFile>(StringComparer.Ordinal);
        try
        {
            foreach (var tensor in model.Tensors().Where(tensor => tensor.DataLocation == TensorProto.Types.DataLocation.External))
            {
                tensor.RawData = Read(tensor, folder, files);
                tensor.ExternalData.Clear();
                tensor.ClearDataLocation();
            }
            return files.ToDictionary(file => file.Key, file => file.Value.BytesRead, StringComparer.Ordinal);
        }
        finally
        {
            foreach (var file in files.Values)
            {
                file.Dispose();
            }
        }
    }

    static ByteString Read(TensorProto tensor, string folder, Dictionary<string, ExternalFile> files)
    {
        string? Entry(string key) => tensor.ExternalData.FirstOrDefault(entry => entry.Key == key)?.Value;

        long Number(string key, long missing)
        {
            string? text = Entry(key);
            if (text == null)
            {
                return missing;
            }
            return long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long number)
                ? number
                : throw new ModelException($"tensor '{tensor.Name}': external data {key} '{text}' is not a number");
        }

        string location = Entry("location") ?? throw new ModelException($"tensor '{tensor.Name}': external data without a location");
        string path = Inside(folder, location, tensor.Name);
        long expected = TensorType.Bytes((TensorProto.Types.DataType)tensor.DataType, tensor.ElementCount());
        long offset = Number("offset", 0);
        try
        {
            if (!files.TryGetValue(path, out var file))
            {
                files[path] = file = new(path);
            }
            long length = Number("length", expected);
            if (length != expected || offset > file.Length || length > file.Length - offset)
            {
                throw new ModelException(
                    $"tensor '{tensor.Name}' needs {expected} bytes; external data '{location}' has {length} at offset {offset} of {file.Length}");
            }
            if (length > int.MaxValue)
            {
                throw new ModelException($"tensor '{tensor.Name}' has {length} bytes; the most that one tensor may have is 2 GiB");
            }
            var bytes = file.Read(offset, (int)length);
            return file.BytesRead / MostOverlap <= file.Length
                ? bytes
                : throw new ModelException($"tensor '{tensor.Name}': external data '{location}' has {file.Length} bytes, and its tensors overlap to more than {MostOverlap} times that");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelException($"tensor '{tensor.Name}': external data '{location}' cannot be read: {e.Message}", e);
        }
    }

    /// <summary>The full path of an external file, refused when it leaves the model's folder by name or through a link.</summary>
    static string Inside(string folder, string location, string tensor)
    {
        string root = RealPath.Of(folder);
        string path = location.Length == 0 || location.Contains('\0') || Path.IsPathRooted(location)
            ? ""
            : RealPath.Of(Path.Combine(root, location));
        string prefix = root.EndsWith(Path.DirectorySeparatorChar) ? root : root + Path.DirectorySeparatorChar;
        return path.StartsWith(prefix, StringComparison.Ordinal)
            ? path
            : throw new ModelException($"tensor '{tensor}': external data '{location}' is outside the model's folder, refused");
    }

    /// <summary>
    /// Writes the large tensors of <paramref name="model"/> to a <see cref="WeightsFile"/> and makes the model point there; changes the model. Bytes that
    /// tensors share are written once.
    /// </summary>
    /// <param name="model">A copy to change.</param>
    /// <param name="path">Where the model will be.</param>
    public static void Save(ModelProto model, string path)
    {
        TensorProto[] moved = [.. model.Tensors().Where(tensor => tensor.RawData.Length >= SmallestMoved)];
        if (moved.Length == 0)
        {
            return;
        }
        string unnamed = path + ".data";
        var (offsets, hash) = Write(moved, unnamed);
        string named = WeightsFile.PathFor(path, hash);
        File.Move(unnamed, named);
        foreach (var tensor in moved)
        {
            Entry(tensor, "location", Path.GetFileName(named));
            Entry(tensor, "offset", offsets[tensor.RawData].ToString(CultureInfo.InvariantCulture));
            Entry(tensor, "length", tensor.RawData.Length.ToString(CultureInfo.InvariantCulture));
            tensor.DataLocation = TensorProto.Types.DataLocation.External;
            tensor.ClearRawData();
        }
    }

    /// <summary>Writes tensors' bytes to a new file; tells where each lies, and the file's SHA-256.</summary>
    static (Dictionary<ByteString, long> Offsets, byte[] Hash) Write(TensorProto[] tensors, string path)
    {
        var offsets = new Dictionary<ByteString, long>(ReferenceEqualityComparer.Instance);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        using var file = new FileStream(path, FileMode.CreateNew, FileAccess.Write);
        void Append(ReadOnlySpan<byte> bytes)
        {
            file.Write(bytes);
            hash.AppendData(bytes);
        }

        foreach (var tensor in tensors.Where(tensor => !offsets.ContainsKey(tensor.RawData)))
        {
            Append(new byte[-file.Position & (Alignment - 1)]);
            offsets[tensor.RawData] = file.Position;
            Append(tensor.RawData.Span);
        }
        file.Flush(flushToDisk: true);
        return (offsets, hash.GetHashAndReset());
    }

    static void Entry(TensorProto tensor, string key, string value) =>
        tensor.ExternalData.Add(new StringStringEntryProto { Key = key, Value = value });
}
