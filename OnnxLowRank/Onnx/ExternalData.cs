using System.Globalization;
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
    /// Writes the large tensors of <paramref name="model"/> to a file and makes the model point there; changes the model. Bytes that tensors share are
    /// written once.
    /// </summary>
    /// <param name="model">A copy to change.</param>
    /// <param name="path">The data file; the model will sit in the same folder.</param>
    public static void Save(ModelProto model, string path)
    {
        var written = new Dictionary<ByteString, long>(ReferenceEqualityComparer.Instance);
        using var file = new FileStream(path, FileMode.CreateNew, FileAccess.Write);
        foreach (var tensor in model.Tensors().Where(tensor => tensor.RawData.Length >= SmallestMoved))
        {
            if (!written.TryGetValue(tensor.RawData, out long offset))
            {
                long padding = -file.Position & (Alignment - 1);
                file.Write(new byte[padding]);
                written[tensor.RawData] = offset = file.Position;
                file.Write(tensor.RawData.Span);
            }
            Entry(tensor, "location", Path.GetFileName(path));
            Entry(tensor, "offset", offset.ToString(CultureInfo.InvariantCulture));
            Entry(tensor, "length", tensor.RawData.Length.ToString(CultureInfo.InvariantCulture));
            tensor.DataLocation = TensorProto.Types.DataLocation.External;
            tensor.ClearRawData();
        }
        file.Flush(flushToDisk: true);
    }

    static void Entry(TensorProto tensor, string key, string value) =>
        tensor.ExternalData.Add(new StringStringEntryProto { Key = key, Value = value });
}
