// Writes random samples for every input of a model, in the form that --calib takes.
//
//   dotnet run -c Release --project scripts/random-samples -- MODEL OUT_DIR [--count 64] [--shapes ort_check.json] [--value NAME=N]...
//
// Floats are normal, integers 0…255. Free dimensions are 1 in front and 32 elsewhere, unless --shapes knows better: a JSON file with
// models.FILE.ran.INPUT = "1x3x48x192". --value fixes all values of an input, such as a sampling rate.

using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

if (!OperatingSystem.IsWindows())
{
    _ = Native.setenv("ORT_DISABLE_TELEMETRY", "1", 0); // before ONNX Runtime is first used
}
string? Option(string name) => Array.IndexOf(args, name) is >= 0 and var at && at + 1 < args.Length ? args[at + 1] : null;
string model = args[0], folder = args[1];
int count = int.Parse(Option("--count") ?? "64", CultureInfo.InvariantCulture);
var given = args.Index().Where(arg => arg.Index > 0 && args[arg.Index - 1] == "--value").Select(arg => arg.Item.Split('=')).ToDictionary(pair => pair[0], pair => pair[1]);
JsonElement? known = Option("--shapes") is { } file && File.Exists(file)
    && JsonDocument.Parse(File.ReadAllText(file)).RootElement.GetProperty("models").TryGetProperty(Path.GetFileName(model), out var entry)
    ? entry.GetProperty("ran") : null;

using var session = new InferenceSession(model);
var shapes = session.InputMetadata.ToDictionary(input => input.Key, input => Shape(input.Key, input.Value.Dimensions));
// Arrays stack along the batch axis if every input has one; otherwise each row is a whole input.
bool isStacked = session.InputMetadata.All(input => input.Value.Dimensions.Length > 0 && input.Value.Dimensions[0] <= 1)
    && (session.InputMetadata.Count == 1 || session.InputMetadata.All(input => input.Value.Dimensions[0] <= 0));
var random = new Random(1);
Directory.CreateDirectory(folder);
foreach (var (name, metadata) in session.InputMetadata)
{
    long[] shape = [count, .. isStacked ? shapes[name][1..] : shapes[name]];
    long elements = shape.Aggregate(1L, (product, dim) => product * dim);
    string path = Path.Combine(folder, string.Concat(name.Select(c => "/\\:*?\"<>|".Contains(c) ? '_' : c)) + ".npy");
    double? value = given.TryGetValue(name, out string? text) ? double.Parse(text, CultureInfo.InvariantCulture) : null;
    switch (metadata.ElementDataType)
    {
        case TensorElementType.Float:
            Write(path, "<f4", shape, Fill(elements, () => (float)(value ?? Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()))));
            break;
        case TensorElementType.Int64:
            Write(path, "<i8", shape, Fill(elements, () => (long)(value ?? random.Next(256))));
            break;
        case TensorElementType.Int32:
            Write(path, "<i4", shape, Fill(elements, () => (int)(value ?? random.Next(256))));
            break;
        default:
            Console.Error.WriteLine($"{name}: inputs of type {metadata.ElementDataType} are not made here");
            return 1;
    }
    Console.WriteLine($"{path}: {metadata.ElementDataType} {string.Join('x', shape)}");
}
return 0;

long[] Shape(string name, int[] dimensions) => known?.TryGetProperty(name, out var ran) == true
    ? [.. ran.GetString()!.Split('x', StringSplitOptions.RemoveEmptyEntries).Select(text => long.Parse(text, CultureInfo.InvariantCulture))]
    : [.. dimensions.Select((dim, i) => dim > 0 ? dim : i == 0 ? 1L : 32L)];

static T[] Fill<T>(long count, Func<T> next)
{
    var values = new T[count];
    for (long i = 0; i < count; i++)
    {
        values[i] = next();
    }
    return values;
}

static void Write<T>(string path, string type, long[] shape, T[] values) where T : unmanaged
{
    string header = $"{{'descr': '{type}', 'fortran_order': False, 'shape': ({string.Concat(shape.Select(dim => $"{dim},"))}), }}";
    byte[] text = Encoding.ASCII.GetBytes(header.PadRight((header.Length + 10 + 64) / 64 * 64 - 11) + "\n");
    using var file = File.Create(path);
    file.Write([0x93, .. "NUMPY"u8, 1, 0, (byte)text.Length, (byte)(text.Length >> 8), .. text]);
    foreach (var part in values.Chunk(1 << 20))
    {
        file.Write(MemoryMarshal.AsBytes<T>(part));
    }
}

static class Native
{
    [DllImport("libc", CharSet = CharSet.Ansi, BestFitMapping = false)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    public static extern int setenv(string name, string value, int overwrite);
}
