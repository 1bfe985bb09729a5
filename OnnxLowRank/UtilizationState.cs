using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using OnnxLowRank.Storage;
using OnnxLowRank.Utilization;

namespace OnnxLowRank;

/// <summary>Layers that a search has finished, in a file, for another run of the same job to go on from.</summary>
/// <param name="Version">Of the format.</param>
/// <param name="Model">SHA-256 of the model file.</param>
/// <param name="Data">SHA-256 of samples and labels.</param>
/// <param name="Options">What else the result depends on.</param>
/// <param name="Layers">In the order of the search.</param>
sealed record UtilizationState(int Version, string Model, string Data, string Options, IReadOnlyList<SearchedLayer> Layers)
{
    const int CurrentVersion = 1;

    /// <summary>A state without layers, for a job that begins.</summary>
    public static UtilizationState Empty(string model, string data, string options) => new(CurrentVersion, model, data, options, []);

    /// <summary>The hash of files' contents, in this order.</summary>
    public static string Hash(IEnumerable<string> files)
    {
        using var all = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (string file in files)
        {
            using var stream = File.OpenRead(file);
            all.AppendData(SHA256.HashData(stream));
        }
        return Convert.ToHexStringLower(all.GetHashAndReset());
    }

    /// <summary>This job's state from a file, or this one where there is no file yet.</summary>
    /// <exception cref="OptionException">The file is of another job, or no state.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public UtilizationState LoadFrom(string path)
    {
        if (!File.Exists(path))
        {
            return this;
        }
        UtilizationState? found;
        try
        {
            found = JsonSerializer.Deserialize(File.ReadAllText(path), UtilizationContext.Default.UtilizationState);
        }
        catch (JsonException)
        {
            found = null;
        }
        string problem = found is not { Layers: not null, Model: not null, Data: not null, Options: not null } || found.Layers.Any(layer => layer?.Passes == null) ? "is not a state of this program, or damaged"
            : found.Version != Version ? $"is of format {found.Version}; this program knows {Version}"
            : found.Model != Model ? "is of another model"
            : found.Data != Data ? "is of other samples or labels"
            : found.Options != Options ? $"is of other options: {found.Options}; now {Options}"
            : "";
        return problem.Length == 0 ? found! : throw new OptionException($"--state {path}: {problem}; remove the file or name another");
    }

    /// <summary>Writes the file, which is whole at every moment.</summary>
    /// <exception cref="IOException">It cannot; the message names the file.</exception>
    public void SaveTo(string path)
    {
        try
        {
            using var staged = new StagedOutput(path);
            File.WriteAllText(staged.StagedPath, JsonSerializer.Serialize(this, UtilizationContext.Default.UtilizationState) + "\n", new UTF8Encoding(false));
            staged.Commit();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"--state {path}: cannot be written: {e.Message}", e);
        }
    }
}

/// <summary>Compile-time serializer: no reflection, so that trimming and AOT work.</summary>
[JsonSourceGenerationOptions(WriteIndented = true, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(UtilizationState))]
sealed partial class UtilizationContext : JsonSerializerContext;
