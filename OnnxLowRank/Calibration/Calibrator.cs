using System.Numerics.Tensors;
using Microsoft.ML.OnnxRuntime;
using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;

namespace OnnxLowRank.Calibration;

/// <summary>Runs a model on samples and brings home the moments of its layers.</summary>
/// <param name="layers">Those that are measured; there may be none.</param>
sealed class Calibrator(OnnxModel model, IReadOnlyList<Layer> layers, Device device, int threads)
{
    /// <summary>Shape of every layer's inputs and outputs when one sample runs.</summary>
    /// <exception cref="ModelException">The model cannot be loaded or run.</exception>
    public IReadOnlyDictionary<string, long[]> Shapes(Sampling sampling) => Shapes(sampling, [1])[0];

    /// <summary>The same for several numbers of samples in a run; a model with a fixed batch has the same shapes for all of them.</summary>
    /// <exception cref="ModelException">The model cannot be loaded or run.</exception>
    public IReadOnlyDictionary<string, long[]>[] Shapes(Sampling sampling, int[] samples)
    {
        LayerUse[] lookups = [.. layers.Where(layer => layer.Kind == LayerKind.Gather).SelectMany(layer => layer.Uses)];
        string[] values = [.. Uses().SelectMany(use => new[] { use.Input, use.Output }).Except(lookups.Select(use => use.Input))];
        if (values.Length == 0)
        {
            return Array.ConvertAll(samples, _ => (IReadOnlyDictionary<string, long[]>)new Dictionary<string, long[]>());
        }
        var graph = new ProbeGraph(model);
        foreach (string value in values)
        {
            graph.AddValue(value);
        }
        using var session = ModelSession.Open(graph.ToModel(), device, threads);
        return Array.ConvertAll(samples, count =>
        {
            var shapes = new Dictionary<string, long[]>(StringComparer.Ordinal);
            sampling.First(count, run =>
            {
                using var results = session.Run(run, graph.Outputs);
                for (int i = 0; i < values.Length; i++)
                {
                    shapes[values[i]] = results[i].GetTensorTypeAndShape().Shape;
                }
                foreach (var use in lookups)
                {
                    shapes[use.Input] = shapes[use.Output][..^1];
                }
            });
            return (IReadOnlyDictionary<string, long[]>)shapes;
        });
    }

    /// <summary>Bytes that one sample takes inside the model, about: of the layers' inputs and outputs twice over.</summary>
    public static long BytesPerSample(IReadOnlyDictionary<string, long[]> shapes) =>
        2 * sizeof(float) * shapes.Values.Sum(shape => shape.Aggregate(1L, (product, dim) => product * dim));

    IEnumerable<LayerUse> Uses() => layers.SelectMany(layer => layer.Uses);

    /// <summary>
    /// Layers in order, cut into waves whose moments take no more than a limit, or are one layer's: in double, and in single precision what one run adds.
    /// </summary>
    /// <param name="shapes">Shape of every use's input and output in one run.</param>
    /// <param name="limit">Bytes.</param>
    /// <param name="withPatches">Whether moments of patches are measured, too.</param>
    /// <param name="more">What else is measured of a layer.</param>
    public static List<List<Layer>> Waves(
        IReadOnlyList<Layer> layers, IReadOnlyDictionary<string, long[]> shapes, long limit, bool withPatches = false, Func<Layer, IEnumerable<Tap>>? more = null)
    {
        var waves = new List<List<Layer>>();
        var taps = new HashSet<Tap>();
        long bytes = 0;
        foreach (var layer in layers)
        {
            Tap[] own = layer.IsMeasured ? [.. Probes.TapsOf(layer, shapes, withPatches && PatchChoice.IsWanted(layer, limit) ? 1 : 0), .. more?.Invoke(layer) ?? []] : [];
            long added = own.Where(tap => !taps.Contains(tap)).Sum(tap => MomentChoice.Bytes(tap, limit));
            if (waves.Count == 0 || bytes + added > limit)
            {
                waves.Add([]);
                taps.Clear();
                (bytes, added) = (0, own.Sum(tap => MomentChoice.Bytes(tap, limit)));
            }
            waves[^1].Add(layer);
            taps.UnionWith(own);
            bytes += added;
        }
        return waves;
    }

    /// <summary>Moments of every layer, and what 8-bit activations need to know of inputs and outputs when asked for.</summary>
    /// <param name="memory">Bytes that one value's moments may take; of wider ones a sketch is measured, and no patches.</param>
    /// <param name="patchesOf">Convolutions whose patches are measured where <see cref="PatchChoice"/> wants that; null for none.</param>
    /// <exception cref="ModelException">An activation is NaN or infinite; the message names it.</exception>
    /// <exception cref="DataException">An activation is empty in every sample.</exception>
    public Measured Collect(
        Sampling sampling, ReadOnlyMemory<int> samples, IReadOnlyDictionary<string, long[]> shapes, bool withRanges, long memory = long.MaxValue, IEnumerable<Layer>? patchesOf = null)
    {
        int first = Parts(sampling, samples).First().Length;
        var patchSteps = PatchChoice.Steps(patchesOf ?? [], shapes, memory, first, sampling.RunSize);
        var tally = new Tally<IMomentSums>(Probes.Of(layers, shapes, withRanges, patchSteps), tap => MomentChoice.Of<IMomentSums>(
            tap, memory, () => new SummedMoments(tap.Groups, tap.Size, model.Spill), width => new SketchedMoments(tap.Size, width, model.Spill)));
        Measure(tally, sampling, samples);
        var moments = tally.Probes.Taps.Zip(tally.Moments.Cast<IMoments>()).ToDictionary();
        foreach (var tap in tally.Probes.Taps)
        {
            if (Tap.Vectors(tap, shapes[tap.Shaped]) > 0) // what is empty in the run that shapes are from is left alone
            {
                RequireSeen(moments[tap].Count, tap.Value);
            }
        }
        var ranges = Enumerable.Range(0, tally.Lowest.Length).ToDictionary(i => tally.Probes.Ranged[i].Value, i => (tally.Lowest[i], tally.Highest[i]));
        var spreads = Enumerable.Range(0, tally.Maxima.Length).ToDictionary(i => tally.Probes.Rows[i], i => tally.Maxima[i].Spread);
        return Measured.Of(layers, shapes, withRanges, tap => moments[tap], value => ranges[value], tap => spreads[tap], patchSteps);
    }

    /// <summary>Of so many samples one is enough for the moments of a value with many positions.</summary>
    const int Many = 4;

    /// <summary>Vectors per channel, from that part of the samples, from which on more say little: plans of equal size lose as much with all samples.</summary>
    const double Enough = 32;

    /// <summary>Samples that such moments are of at least: positions of one sample are alike.</summary>
    const int Fewest = 64;

    /// <summary>
    /// What is enough of a value's vectors comes from as few samples as hold it, for convolutions most of the work: of patches from any number, of other vectors from one sample in four at
    /// least. Ranges come from all samples.
    /// </summary>
    void Measure(Tally<IMomentSums> tally, Sampling sampling, ReadOnlyMemory<int> samples)
    {
        int seen = 0;
        foreach (var part in Parts(sampling, samples))
        {
            bool areSeen = Many * seen >= samples.Length && samples.Length >= Many * Math.Max(Fewest, sampling.RunSize);
            Fill(tally.Of((tap, moments) => IsLacking(tap, ((IMoments)moments).Count, areSeen)), sampling, sampling.WholeRuns(part));
            seen += part.Length;
        }
    }

    /// <param name="areSeen">Whether as many samples as are enough where each has many positions.</param>
    static bool IsLacking(Tap tap, double vectors, bool areSeen) =>
        tap.Patches != null ? vectors < PatchChoice.Enough * tap.Size : !areSeen || vectors < Enough * tap.Size;

    /// <summary>One sample in so many, wherever in the files they are, as those may be ordered by what is in them; then as many others as there were, until there are none left.</summary>
    static IEnumerable<ReadOnlyMemory<int>> Parts(Sampling sampling, ReadOnlyMemory<int> samples)
    {
        int step = 1;
        while (samples.Length >= 2 * step * Math.Max(Fewest, sampling.RunSize))
        {
            step *= 2;
        }
        int[] all = samples.ToArray();
        yield return all.Where((_, i) => i % step == 0).ToArray();
        for (; step > 1; step /= 2)
        {
            int half = step / 2;
            yield return all.Where((_, i) => i % step == half).ToArray();
        }
    }

    /// <summary>Runs samples and adds what was asked to the tally, run by run.</summary>
    /// <param name="added">Told of every run when all of it is in the tally.</param>
    /// <param name="memory">Bytes for the products of one run; where they take more, every run is made several times, for some of them each.</param>
    /// <exception cref="ModelException">An activation is NaN or infinite; the message names it.</exception>
    public void Fill<T>(
        Tally<T> tally, Sampling sampling, ReadOnlyMemory<int> samples, Action<SampleRun, ReadOnlyMemory<int>>? added = null, long memory = long.MaxValue) where T : IMomentSums
    {
        if (tally.Probes.IsEmpty)
        {
            return;
        }
        var parts = new List<(ProbeGraph Graph, ModelSession Session, Action<IDisposableReadOnlyCollection<OrtValue>> Add)>();
        try
        {
            for (int first = 0; first < tally.Probes.Taps.Length || parts.Count == 0;)
            {
                int count = Fitting(tally.Probes.Taps.AsSpan(first), memory);
                var graph = new ProbeGraph(model);
                var add = Asking(tally, graph, first, count, withRanges: first == 0);
                parts.Add((graph, ModelSession.Open(graph.ToModel(), device, threads), add));
                first += count;
            }
            sampling.ForEach(samples, (run, part) =>
            {
                foreach (var (graph, session, add) in parts)
                {
                    using var results = session.Run(run, graph.Outputs);
                    add(results);
                }
                added?.Invoke(run, part);
            });
        }
        finally
        {
            parts.ForEach(part => part.Session.Dispose());
        }
    }

    /// <summary>How many taps from the first on have products in a run that take no more than a limit; at least one.</summary>
    static int Fitting(ReadOnlySpan<Tap> taps, long limit)
    {
        int count = 0;
        for (double bytes = 0; count < taps.Length; count++)
        {
            bytes += sizeof(float) * (double)taps[count].Groups * taps[count].Size * taps[count].Size;
            if (count > 0 && bytes > limit)
            {
                break;
            }
        }
        return count;
    }

    /// <summary>Makes a graph answer what some taps, and ranges and rows, ask.</summary>
    /// <returns>What adds the answers of one run to the tally.</returns>
    static Action<IDisposableReadOnlyCollection<OrtValue>> Asking<T>(Tally<T> tally, ProbeGraph graph, int firstTap, int count, bool withRanges) where T : IMomentSums
    {
        var taps = tally.Probes.Taps.AsMemory(firstTap, count);
        var (ranged, rows) = withRanges ? (tally.Probes.Ranged, tally.Probes.Rows) : ([], []);
        for (int i = 0; i < count; i++)
        {
            graph.AddMoments(taps.Span[i], (tally.Moments[firstTap + i] as SketchedMoments)?.TestMatrix);
        }
        foreach (var (value, type) in ranged)
        {
            graph.AddRange(value, type);
        }
        Array.ForEach(rows, graph.AddRowMaxima);
        return results =>
        {
            int next = 0;
            for (int i = 0; i < count; i++, next += 3)
            {
                AddMoments(tally.Moments[firstTap + i], taps.Span[i], results, next, taps.Span[i].Value);
            }
            for (int i = 0; i < ranged.Length; i++, next += 2)
            {
                float min = Floats(results[next])[0], max = Floats(results[next + 1])[0];
                RequireFinite(float.IsFinite(min) && float.IsFinite(max), ranged[i].Value);
                (tally.Lowest[i], tally.Highest[i]) = (Math.Min(tally.Lowest[i], min), Math.Max(tally.Highest[i], max));
            }
            for (int i = 0; i < rows.Length; i++, next++)
            {
                tally.Maxima[i].Add(Floats(results[next]));
            }
        };
    }

    /// <summary>Adds what <see cref="ProbeGraph.AddMoments"/> answered.</summary>
    /// <param name="value">The activation that the tap reads, as errors name it.</param>
    static void AddMoments(IMomentSums sums, Tap tap, IDisposableReadOnlyCollection<OrtValue> results, int first, string value)
    {
        ReadOnlySpan<float> mean = Floats(results[first + 1]), products = Floats(results[first + 2]);
        // The largest magnitude is NaN or infinite exactly when an element is; the diagonal alone would miss infinities that cancel.
        RequireFinite(float.IsFinite(TensorPrimitives.MaxMagnitude(mean)) && float.IsFinite(TensorPrimitives.MaxMagnitude(products)), value);
        sums.Add(Tap.Vectors(tap, results[first].GetTensorDataAsSpan<long>()), mean, products);
    }

    /// <summary>Moments of what a layer's weight is applied to, one set per use: vectors of the input, patches of a Conv, per group.</summary>
    /// <param name="layer">No table.</param>
    /// <exception cref="ModelException">An activation is NaN or infinite; the message names it.</exception>
    /// <exception cref="DataException">An activation is empty in every sample.</exception>
    public Moments[] CollectInputs(Layer layer, Sampling sampling, ReadOnlyMemory<int> samples, IReadOnlyDictionary<string, long[]> shapes)
    {
        Tap[] taps = [.. layer.Uses.Select(use => layer.Kind == LayerKind.Conv ? Tap.AtPatches(layer, use, shapes) : Tap.AtInput(layer, use, shapes))];
        var tally = new Tally<SummedMoments>(new([.. taps.Distinct()], [], []), tap => new(tap.Groups, tap.Size, model.Spill));
        Fill(tally, sampling, sampling.WholeRuns(samples));
        var sums = tally.Probes.Taps.Zip(tally.Moments).ToDictionary();
        Array.ForEach(taps, tap => RequireSeen(sums[tap].Count, tap.Value));
        return [.. taps.Select(tap => sums[tap])];
    }

    /// <summary>Bytes that one sample takes while a layer's inputs are measured, about: vectors as they are, centred and transposed.</summary>
    public static long BytesPerSample(Layer layer, IReadOnlyDictionary<string, long[]> shapes) =>
        3 * sizeof(float) * layer.Uses.Max(use => shapes[use.Output].Aggregate(1L, (product, dim) => product * dim)) / layer.Out * layer.Groups * layer.In;

    static ReadOnlySpan<float> Floats(OrtValue value) => value.GetTensorDataAsSpan<float>();

    static void RequireFinite(bool isFinite, string value)
    {
        if (!isFinite)
        {
            throw new ModelException($"activation '{value}' holds NaN or infinity (or its square overflows) on calibration samples");
        }
    }

    /// <summary>Where some dimension is 0 in every sample there is no mean.</summary>
    static void RequireSeen(double count, string value)
    {
        if (count == 0)
        {
            throw new DataException($"activation '{value}' has no elements on any calibration sample");
        }
    }

    /// <summary>The spans of the numbers between the convolutions of every layer that may be factorized and quantized.</summary>
    public InnerRanges InnerRanges(
        Sampling sampling, ReadOnlyMemory<int> samples, IReadOnlyDictionary<string, long[]> shapes, IReadOnlyCollection<Decomposition> decompositions)
    {
        Dictionary<Layer, InnerRange> outputs = [], inputs = [], columns = [];
        var wanted = new List<WantedRange>();
        foreach (var decomposition in decompositions)
        {
            var layer = decomposition.Layer;
            outputs[layer] = Empty(layer.Groups * decomposition.MaxRank);
            float[] basis = decomposition.ProjectionT();
            wanted.AddRange(layer.Uses.Select((use, i) =>
                new WantedRange(graph => graph.AddProjectedRange(Tap.Of(layer, use, shapes), basis), decomposition.ProjectedBias(i), outputs[layer])));
            if (decomposition.Tucker is { } tucker)
            {
                var range = inputs[layer] = Empty(tucker.MaxInputRank);
                wanted.AddRange(layer.Uses.Select(use =>
                    new WantedRange(graph => graph.AddProjectedRange(Tap.AtConvInput(layer, use, shapes), tucker.Entry), new double[tucker.MaxInputRank], range)));
            }
            if (decomposition.Spatial is { } spatial)
            {
                var range = columns[layer] = Empty(spatial.MaxRank);
                wanted.AddRange(layer.Uses.Select(use => new WantedRange(graph => graph.AddColumnRange(layer, use, spatial.Columns), new double[spatial.MaxRank], range)));
            }
        }
        if (wanted.Count > 0)
        {
            Widen(wanted, sampling, samples);
        }
        return new(outputs, inputs, columns);
    }

    /// <summary>Numbers whose span is wanted.</summary>
    /// <param name="Add">Adds their smallest and largest to a graph's outputs.</param>
    /// <param name="Offset">Part of them that does not count.</param>
    sealed record WantedRange(Action<ProbeGraph> Add, double[] Offset, InnerRange Range);

    void Widen(List<WantedRange> wanted, Sampling sampling, ReadOnlyMemory<int> samples)
    {
        var graph = new ProbeGraph(model);
        wanted.ForEach(range => range.Add(graph));
        using var session = ModelSession.Open(graph.ToModel(), device, threads);
        sampling.ForEach(sampling.WholeRuns(samples), (run, _) =>
        {
            using var results = session.Run(run, graph.Outputs);
            for (int i = 0; i < wanted.Count; i++)
            {
                var (_, offset, (min, max)) = wanted[i];
                ReadOnlySpan<float> low = Floats(results[2 * i]), high = Floats(results[2 * i + 1]);
                for (int k = 0; k < min.Length; k++)
                {
                    min[k] = Math.Min(min[k], low[k] - offset[k]);
                    max[k] = Math.Max(max[k], high[k] - offset[k]);
                }
            }
        });
    }

    static InnerRange Empty(int count) => new(new double[count], new double[count]);
}
