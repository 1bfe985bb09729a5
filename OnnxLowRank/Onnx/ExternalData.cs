using System.Globalization;
using Google.Protobuf;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Onnx;

/// <summary>Tensors whose bytes live in files beside the model.</summary>
static class ExternalData
{
    /// <summary>Tensors below this size stay in the model file when the rest moves out, so that graphs stay readable by themselves.</summary>
    const int SmallestMoved = 1024;

    /// <summary>Offsets are multiples of this, so that runtimes can map tensors into memory.</summary>
    const int Alignment = 4096;

    /// <summary>Brings every external tensor's bytes into the model.</summary>
    /// <returns>The files that were read, by their real paths, and how many bytes of tensors came from each.</returns>
    /// <exception cref="ModelException">A file is missing, too short, or outside the model's folder; the message names the tensor.</exception>
    public static IReadOnlyDictionary<string, long> Load(ModelProto model, string folder)
    {
        var files = new Dictionary<string, long>(StringComparer.Ordinal);
        foreach (var tensor in model.Tensors().Where(tensor => tensor.DataLocation == TensorProto.Types.DataLocation.External))
        {
            (string file, tensor.RawData) = Read(tensor, folder);
            tensor.ExternalData.Clear();
            tensor.ClearDataLocation();
            files[file] = files.GetValueOrDefault(file) + tensor.RawData.Length;
        }
        return files;
    }

    static (string File, ByteString Bytes) Read(TensorProto tensor, string folder)
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
            using var file = File.OpenHandle(path);
            long available = RandomAccess.GetLength(file);
            long length = Number("length", expected);
            if (length != expected || offset > available || length > available - offset)
            {
                throw new ModelException(
                    $"tensor '{tensor.Name}' needs {expected} bytes; external data '{location}' has {length} at offset {offset} of {available}");
            }
            var bytes = new byte[checked((int)length)];
            for (int done = 0; done < bytes.Length;)
            {
                int read = RandomAccess.Read(file, bytes.AsSpan(done), offset + done);
                if (read == 0)
                {
                    throw new ModelException($"tensor '{tensor.Name}': external data '{location}' ended early");
                }
                done += read;
            }
            return (path, UnsafeByteOperations.UnsafeWrap(bytes));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or OverflowException)
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

    /// <summary>Writes the large tensors of <paramref name="model"/> to a file and makes the model point there; changes the model.</summary>
    /// <param name="model">A copy to change.</param>
    /// <param name="path">The data file; the model will sit in the same folder.</param>
    public static void Save(ModelProto model, string path)
    {
        using var file = new FileStream(path, FileMode.CreateNew, FileAccess.Write);
        foreach (var tensor in model.Tensors().Where(tensor => tensor.RawData.Length >= SmallestMoved))
        {
            long padding = -file.Position & (Alignment - 1);
            file.Write(new byte[padding]);
            long offset = file.Position;
            tensor.RawData.WriteTo(file);
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
