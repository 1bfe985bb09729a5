using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using OnnxLowRank.Storage;

namespace OnnxLowRank.Timing;

/// <summary>What times depend on beside the layer: measured times are only good for the same of all these.</summary>
/// <param name="Tool">Version of the program, which decides what is emitted.</param>
/// <param name="OnnxRuntime">Version of ONNX Runtime.</param>
/// <param name="Device">cpu or cuda:N.</param>
/// <param name="Processor">See <see cref="Runtime.Processor"/>.</param>
sealed record TimingConditions(string Tool, string OnnxRuntime, string Device, string Processor, int Threads);

/// <summary>One measured time, a line of the file.</summary>
sealed record TimingLine(string Key, double One, double Each, IReadOnlyList<string> Kernels);

/// <summary>
/// Measured times in the user's cache folder, a file per conditions: the conditions in the first line, then a time in every line, all as
/// JSON. A damaged line is as good as none, and so is a file of another version of the program. Several programs may use a file at once.
/// </summary>
sealed class TimingCache
{
    const string FolderName = "onnx-lowrank";

    readonly string _folder;
    readonly TimingConditions _conditions;
    readonly Action<string> _note;
    readonly Dictionary<string, LayerTime> _times = new(StringComparer.Ordinal);

    /// <param name="folder">Made when something is saved; empty for nowhere.</param>
    /// <param name="note">Told when the folder cannot be used, which costs time but harms nothing.</param>
    public TimingCache(string folder, TimingConditions conditions, Action<string> note)
    {
        (_folder, _conditions, _note) = (folder, conditions, note);
        Load();
    }

    /// <summary>The file of these conditions, whatever the version of the program.</summary>
    public string Path => System.IO.Path.Combine(_folder, $"timing-{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Text(_conditions with { Tool = "" }))))[..16]}.jsonl");

    string Header => Text(_conditions);

    static string Text(TimingConditions conditions) => JsonSerializer.Serialize(conditions, TimingContext.Default.TimingConditions);

    /// <summary>$XDG_CACHE_HOME/onnx-lowrank or ~/.cache/onnx-lowrank on Unix, in the local application data on Windows; empty where there is no such folder.</summary>
    public static string UserFolder()
    {
        if (OperatingSystem.IsWindows())
        {
            string local = Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData);
            return local.Length == 0 ? "" : System.IO.Path.Combine(local, FolderName);
        }
        string? cache = Environment.GetEnvironmentVariable("XDG_CACHE_HOME"), home = Environment.GetEnvironmentVariable("HOME");
        return System.IO.Path.IsPathRooted(cache) ? System.IO.Path.Combine(cache, FolderName) // a relative one is invalid, says its specification
            : System.IO.Path.IsPathRooted(home) ? System.IO.Path.Combine(home, ".cache", FolderName)
            : "";
    }

    public LayerTime? Find(string key) => _times.GetValueOrDefault(key);

    public void Add(string key, LayerTime time) => _times[key] = time;

    /// <summary>Writes everything that is known, and what another program has written in the meantime. The file appears whole or not at all.</summary>
    public void Save()
    {
        if (_folder.Length == 0)
        {
            return;
        }
        try
        {
            Directory.CreateDirectory(_folder);
            Load();
            using var staged = new StagedOutput(Path);
            var lines = _times.OrderBy(item => item.Key, StringComparer.Ordinal)
                .Select(item => JsonSerializer.Serialize(new(item.Key, item.Value.One, item.Value.Each, item.Value.Kernels), TimingContext.Default.TimingLine));
            File.WriteAllLines(staged.StagedPath, lines.Prepend(Header));
            staged.Commit();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            _note($"measured times cannot be kept in {_folder}: {e.Message}");
        }
    }

    /// <summary>What the file holds wins over what is known: the next run will find that.</summary>
    void Load()
    {
        try
        {
            if (_folder.Length == 0 || !File.Exists(Path))
            {
                return;
            }
            string[] lines = File.ReadAllLines(Path);
            if (lines.Length == 0 || lines[0] != Header)
            {
                return;
            }
            foreach (string line in lines.Skip(1))
            {
                if (Parse(line) is { } time)
                {
                    _times[time.Key] = new(time.One, time.Each, time.Kernels);
                }
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            _note($"measured times cannot be read from {_folder}: {e.Message}");
        }
    }

    /// <summary>A line's time, or null where it is damaged.</summary>
    static TimingLine? Parse(string line)
    {
        try
        {
            var time = JsonSerializer.Deserialize(line, TimingContext.Default.TimingLine);
            return time is { Key: not null, Kernels: not null } && double.IsFinite(time.One) && double.IsFinite(time.Each) && time is { One: >= 0, Each: >= 0 } ? time : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}

/// <summary>Compile-time serializer: no reflection, so that trimming and AOT work.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(TimingConditions))]
[JsonSerializable(typeof(TimingLine))]
sealed partial class TimingContext : JsonSerializerContext;
