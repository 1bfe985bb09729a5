using OnnxLowRank.Storage;

namespace OnnxLowRank.Samples;

/// <summary>The one place where what goes wrong with a user's file becomes a <see cref="DataException"/>, and the scratch files.</summary>
static class DataFile
{
    /// <summary>Runs something that reads; failures of the file system and of the format's decoder name the file.</summary>
    public static T Reading<T>(string name, Func<T> read)
    {
        try
        {
            return read();
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new DataException($"{name}: no such file or folder", e);
        }
        catch (EndOfStreamException e)
        {
            throw new DataException($"{name}: ends too early", e);
        }
        catch (UnauthorizedAccessException e)
        {
            throw new DataException($"{name}: no permission to read it", e);
        }
        catch (Exception e) when (e is IOException or InvalidDataException or NotSupportedException)
        {
            throw new DataException($"{name}: cannot be read: {e.Message}", e);
        }
    }

    public static FileStream Open(string path) => path.Length == 0
        ? throw new DataException("an empty path names no file")
        : Reading(path, () => RegularFile.Open(path));

    /// <summary>Up to <paramref name="count"/> bytes from the start, for recognizing a format; fewer if the file is shorter.</summary>
    public static byte[] FirstBytes(string path, int count)
    {
        using var file = Open(path);
        byte[] bytes = new byte[count];
        return Reading(path, () => bytes[..file.ReadAtLeast(bytes, count, throwOnEndOfStream: false)]);
    }

    /// <summary>
    /// An empty file in the system's folder for temporary files, readable by this user only, that vanishes when it is closed
    /// (on Unix also when the process is killed).
    /// </summary>
    /// <exception cref="IOException">No room or no such folder: the machine's fault, not the data's, so not a <see cref="DataException"/>.</exception>
    public static FileStream Scratch()
    {
        string path = Path.Combine(Path.GetTempPath(), "onnx-lowrank-" + Path.GetRandomFileName());
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.ReadWrite, BufferSize = 0 };
        if (OperatingSystem.IsWindows())
        {
            options.Options = FileOptions.DeleteOnClose;
            return new FileStream(path, options);
        }

        options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        var file = new FileStream(path, options);
        File.Delete(path);
        return file;
    }
}
