using OnnxLowRank.Calibration;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Samples;
using OnnxLowRank.Storage;

namespace OnnxLowRank.StatsFiles;

/// <summary>Stats files of one model, seen as one.</summary>
sealed class StatsSet : IDisposable
{
    readonly StatsFile[] _files;
    readonly HashSet<ulong> _samples = [];

    StatsSet(StatsFile[] files)
    {
        _files = files;
        RequireApart();
    }

    /// <summary>Samples in all files.</summary>
    public int Samples => _files.Sum(file => file.Header.Samples);

    public IEnumerable<string> Paths => _files.Select(file => file.Path);

    /// <summary>What a careful user wants to know.</summary>
    public IEnumerable<string> Notes => _files.GroupBy(file => file.Header.Job with { Part = 1, Planned = 0 })
        .Where(division => division.Count() < division.Key.Parts)
        .Select(division => $"--stats: only {division.Count()} of {division.Key.Parts} shards are given");

    /// <param name="model">SHA-256 of the model that moments are wanted for.</param>
    /// <exception cref="DataException">A file cannot be read, is of another model or not complete, or two hold the same sample; the message names it.</exception>
    public static StatsSet Open(IReadOnlyList<string> paths, string model)
    {
        var files = new List<StatsFile>();
        try
        {
            foreach (string path in paths)
            {
                files.Add(StatsFile.Open(path));
                var header = files[^1].Header;
                if (header.Model != model)
                {
                    throw new DataException($"{path}: holds moments of another model, SHA-256 {header.Model[..12]}…, not {model[..12]}…");
                }
                if (header.Samples < header.Job.Planned)
                {
                    throw new DataException($"{path}: holds {header.Samples} of {header.Job.Planned} samples; calibrate goes on when it is started again as before");
                }
            }
            return new([.. files]);
        }
        catch
        {
            files.ForEach(file => file.Dispose());
            throw;
        }
    }

    /// <summary>Whether a sample is in.</summary>
    public bool Holds(ulong sample) => _samples.Contains(sample);

    /// <summary>No sample may count twice. Data may hold a sample twice, though: shards of one division may, too.</summary>
    void RequireApart()
    {
        var seen = new List<(StatsFile File, HashSet<ulong> Samples)>();
        foreach (var file in _files)
        {
            HashSet<ulong> samples = [.. file.Samples()];
            foreach (var other in seen.Where(other => !other.File.Header.Job.IsSibling(file.Header.Job)))
            {
                int both = samples.Count(other.Samples.Contains);
                if (both > 0)
                {
                    throw new DataException($"{other.File.Path} and {file.Path} hold the same samples ({both} of {file.Header.Samples}): none may count twice");
                }
            }
            seen.Add((file, samples));
            _samples.UnionWith(samples);
        }
    }

    /// <summary>What calibration would have measured on these samples.</summary>
    /// <param name="shapes">Shape of every layer's inputs and outputs in one run.</param>
    /// <param name="spill">Where sketches are.</param>
    /// <param name="memory">As for <see cref="Calibrator.Collect"/>.</param>
    /// <param name="patchesOf">Likewise; files may lack them.</param>
    /// <exception cref="DataException">A file lacks what a layer needs; the message names both.</exception>
    public Measured Measured(
        ILinearAlgebra algebra, IReadOnlyList<Layer> layers, IReadOnlyDictionary<string, long[]> shapes, bool withRanges, Spill spill, long memory = long.MaxValue,
        IEnumerable<Layer>? patchesOf = null)
    {
        var patchSteps = PatchChoice.Steps(patchesOf?.Where(HasPatches) ?? [], shapes, memory, samples: 1, runSize: 1);
        var probes = Probes.Of(layers, shapes, withRanges, patchSteps);
        var moments = probes.Taps.ToDictionary(tap => tap, tap =>
        {
            var stored = new StoredMoments(Find(file => file.Header.Values, value => value.Key, StatsValue.KeyOf(tap), tap.Value));
            return MomentChoice.Of<IMoments>(tap, memory, () => stored, width => stored.Sketch(algebra, spill, width));
        });
        var ranges = probes.Ranged.ToDictionary(item => item.Value, item => Find(file => file.Header.Ranges, range => range.Value, item.Value, item.Value)
            .Select(part => part.File.Header.Ranges[part.Place]).Aggregate((Low: 0.0, High: 0.0), (all, range) => (Math.Min(all.Low, range.Low), Math.Max(all.High, range.High))));
        var spreads = probes.Rows.ToDictionary(tap => tap, tap =>
        {
            var maxima = new RowMaxima();
            foreach (var (file, place) in Find(file => file.Header.Rows, rows => rows.Key, StatsValue.KeyOf(tap), tap.Value))
            {
                file.AddMaxima(place, maxima);
            }
            return maxima.Spread;
        });
        return Calibration.Measured.Of(layers, shapes, withRanges, tap => moments[tap], value => ranges[value], tap => spreads[tap], patchSteps);
    }

    /// <summary>Whether every file has the patches of all of a layer's uses.</summary>
    bool HasPatches(Layer layer) => Array.TrueForAll(
        _files, file => layer.Uses.All(use => file.Header.Values.Any(value => value.Patches?.Output == use.Output && value.Value == use.Input && value.Size == layer.In)));

    /// <summary>Where something is in every file.</summary>
    (StatsFile File, int Place)[] Find<TItem, TKey>(Func<StatsFile, IReadOnlyList<TItem>> list, Func<TItem, TKey> keyOf, TKey wanted, string name) => Array.ConvertAll(_files, file =>
    {
        var items = list(file);
        for (int i = 0; i < items.Count; i++)
        {
            if (EqualityComparer<TKey>.Default.Equals(keyOf(items[i]), wanted))
            {
                return (file, i);
            }
        }
        throw new DataException($"{file.Path}: was measured without '{name}'; calibrate and compress need the same --only, --skip and --constant-inputs");
    });

    public void Dispose() => Array.ForEach(_files, file => file.Dispose());
}
