using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using Google.Protobuf;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Planning;
using OnnxLowRank.Runtime;
using OnnxLowRank.Timing;

namespace OnnxLowRank;

/// <summary>Puts the report together while the job runs.</summary>
sealed class ReportBuilder(CompressionOptions options, Workspace workspace, FoundLayers found, ILinearAlgebra algebra)
{
    static readonly TimeSpan s_timingBudget = TimeSpan.FromSeconds(1);

    /// <summary>SHA-256 of the model that was read.</summary>
    public string SourceHash { get; } = ModelFiles.Sha256(options.Input);

    SortedDictionary<string, int> _kernels = [];
    double? _millisecondsBefore;
    double? _millisecondsAfter;

    public Analysis? Analysis { get; set; }

    /// <summary>Times of rewritten layers, or null where none were taken.</summary>
    public Proof? Proof { get; set; }

    public IReadOnlyList<Probe> Probes { get; set; } = [];

    /// <summary>Name and version of this program.</summary>
    public static ToolInfo Tool => new("onnx-lowrank",
        typeof(ReportBuilder).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown");

    /// <summary>What the written model says about how it was made. No paths and no times: the same job gives the same bytes.</summary>
    public IReadOnlyDictionary<string, string> Provenance => new Dictionary<string, string>
    {
        ["onnx_lowrank.version"] = Tool.Version,
        ["onnx_lowrank.options"] = string.Join(' ', OptionTexts().Where(pair => pair.Key is not ("calib" or "labels" or "stats" or "device" or "threads" or "memory"))
            .Select(pair => $"--{pair.Key} {pair.Value}")),
        ["onnx_lowrank.source_sha256"] = SourceHash,
    };

    SortedDictionary<string, string> OptionTexts()
    {
        var texts = UsualOptionTexts();
        foreach (var (name, pattern) in new[] { ("only", options.Only), ("skip", options.Skip) })
        {
            if (pattern != null)
            {
                texts[name] = pattern.ToString();
            }
        }
        if (!options.HasTolerance)
        {
            texts.Remove("tolerance");
            texts[options.TargetSize != null ? "target-size" : "target-time"] = $"{options.TargetSize ?? options.TargetTime}";
        }
        if (options.Method == Method.Utilized)
        {
            texts["delta"] = options.Delta.ToString(CultureInfo.InvariantCulture);
        }
        if (options.HasStats)
        {
            texts["stats"] = string.Join(' ', options.Stats);
        }
        if (options.Batch is { } batch)
        {
            texts["batch"] = batch.ToString(CultureInfo.InvariantCulture);
        }
        foreach (var (name, isSet) in new[] { ("confident", options.Confident), ("best-effort", options.BestEffort), ("constant-inputs", options.ConstantInputs), ("no-timing", !options.Timing), ("deterministic", options.Deterministic) })
        {
            if (isSet)
            {
                texts[name] = "true";
            }
        }
        return texts;
    }

    SortedDictionary<string, string> UsualOptionTexts() => new(StringComparer.Ordinal)
    {
        ["calib"] = options.Calibration,
        ["labels"] = options.Labels ?? "",
        ["metric"] = workspace.Metric.Metric.ToString().ToLowerInvariant(),
        ["tolerance"] = options.Tolerance.ToString(CultureInfo.InvariantCulture),
        ["objective"] = options.Objective.ToString().ToLowerInvariant(),
        ["format"] = options.Format switch { FormatChoice.Float32 => "fp32", FormatChoice.Int8 => "int8", FormatChoice.Int4 => "int4", FormatChoice.Float16 => "fp16", _ => "auto" },
        ["method"] = options.Method.ToString().ToLowerInvariant(),
        ["dialect"] = options.Dialect.ToString().ToLowerInvariant(),
        ["device"] = workspace.Device.Name,
        ["target-cpu"] = options.Cpu.ToString().ToLowerInvariant(),
        ["memory"] = workspace.Memory.ToString(CultureInfo.InvariantCulture),
        ["seed"] = options.Seed.ToString(CultureInfo.InvariantCulture),
        ["threads"] = options.Threads.ToString(CultureInfo.InvariantCulture),
    };

    /// <summary>Looks at the staged model as ONNX Runtime runs it: which operators it became, and how long a run takes.</summary>
    public void Inspect(VerifiedPlan plan, string stagedPath)
    {
        InspectKernels(plan, stagedPath);
        NoteSlower(plan);
        workspace.Notes.AddRange(plan.Rewritten.InputsGone.Select(name => $"'{name}' was listed as a graph input but is a constant; it is gone from the inputs"));
        if (!workspace.MayLoadWhole)
        {
            workspace.Notes.Add($"whole models are not timed: loading both takes more than --memory {workspace.Memory:n0} bytes");
            return;
        }
        using var session = workspace.OpenWritten(stagedPath);
        using var original = workspace.OpenOriginal();
        workspace.Sampling.First(1, run =>
        {
            double[] times = Latency.Milliseconds([original, session], run, s_timingBudget);
            (_millisecondsBefore, _millisecondsAfter) = (times[0], times[1]);
            if (times[1] > times[0])
            {
                workspace.Notes.Add($"one sample takes {times[1] / times[0]:0.00} times as long as with the original");
            }
        });
    }

    /// <summary>Says which layers are slower than they were.</summary>
    void NoteSlower(VerifiedPlan plan)
    {
        if (Proof is { Slower: { Count: > 0 } slower })
        {
            string names = string.Join(", ", plan.Allotment.Plans.Select(item => item.Layer).Where(slower.Contains).Select(layer => layer.Name));
            workspace.Notes.Add($"smaller but slower than before: {names}");
        }
    }

    /// <summary>The optimized graph is only looked at: when there is no room for it on the disk, the job still succeeds.</summary>
    void InspectKernels(VerifiedPlan plan, string stagedPath)
    {
        string optimized = stagedPath + ".optimized";
        try
        {
            using var session = workspace.OpenWritten(stagedPath, optimized);
            using var file = File.OpenRead(optimized);
            _kernels = ModelFiles.Operators(ModelProto.Parser.ParseFrom(file).Graph);
            if (workspace.Device.CudaId == null)
            {
                workspace.Notes.AddRange(FastKernels.Missing([.. plan.Allotment.Plans], _kernels));
            }
        }
        catch (Exception e) when (e is ModelException or IOException or InvalidProtocolBufferException)
        {
            workspace.Notes.Add($"could not see which operators ONNX Runtime makes of the model: {e.Message}");
        }
        finally
        {
            foreach (string file in Directory.EnumerateFiles(Path.GetDirectoryName(stagedPath)!, "*.optimized*"))
            {
                File.Delete(file);
            }
        }
    }

    public CompressionReport NothingFound(string why, StageClock clock, VerifiedPlan? best = null)
    {
        workspace.Notes.Add(why);
        return Create(Outcome.NothingFound, best, null, clock);
    }

    /// <param name="stagedPath">Of the model that will be the output.</param>
    public CompressionReport Written(VerifiedPlan plan, string stagedPath, StageClock clock) => Create(
        plan.Passed ? Outcome.Written : Outcome.BestEffort, plan, new(options.Output, ModelFiles.Sha256(stagedPath), plan.Bytes), clock);

    CompressionReport Create(Outcome outcome, VerifiedPlan? plan, FileFacts? result, StageClock clock)
    {
        var model = workspace.Model;
        var verified = plan == null ? null : new VerifiedLoss(
            workspace.Metric.Metric.ToString().ToLowerInvariant(), plan.Loss.Samples, plan.Loss.Original, plan.Loss.Compressed,
            plan.Loss.Estimate, plan.Loss.Low, plan.Loss.High, options.HasTolerance ? options.Tolerance : null, plan.Looks);
        double macsBefore = Analysis?.Macs(found.Layers.Select(layer => new LayerPlan.Keep(layer))) ?? 0;
        var after = result == null ? null : new ModelCost(
            result.Bytes, ModelFiles.Parameters(model) - plan!.Allotment.Plans.Sum(one => one.Layer.Elements - one.Elements), Analysis!.Macs(plan.Allotment.Plans), _millisecondsAfter);
        return new(
            outcome, Tool, new(options.Input, SourceHash, workspace.SourceBytes), result, OptionTexts(),
            RuntimeInfo.Of(workspace.Device, algebra, options.Threads),
            clock.Seconds(), workspace.Sampling.Passes, Process.GetCurrentProcess().PeakWorkingSet64,
            new(workspace.SourceBytes, ModelFiles.Parameters(model), macsBefore, _millisecondsBefore), after, verified,
            Probes, [.. LayerReports(result == null ? null : plan)], _kernels, workspace.Notes)
        {
            Spectra = [.. Spectra(result == null ? null : plan)],
        };
    }

    IEnumerable<LayerSpectrum> Spectra(VerifiedPlan? plan)
    {
        for (int i = 0; i < found.Layers.Count; i++)
        {
            var layer = found.Layers[i];
            if (Analysis?.Spectra.TryGetValue(layer, out var spectra) == true)
            {
                var cut = plan?.Allotment.Chosen[i].Plan as LayerPlan.Factorize;
                yield return LayerSpectrum.Of(layer.Name, "output", Math.Min(layer.OutPerGroup, layer.In), spectra.Output, cut is { HasUp: true } ? cut.Rank : null);
                if (spectra.Input != null)
                {
                    yield return LayerSpectrum.Of(layer.Name, "input", layer.In / layer.KernelSize, spectra.Input, cut?.InputRank);
                }
            }
        }
    }

    /// <summary>1 − what the output's and the input's cuts lose, as plans predict it.</summary>
    double? KeptEnergy(LayerPlan.Factorize plan)
    {
        var (output, input, spatial) = Analysis!.Spectra[plan.Layer];
        double lost = plan.IsSpatial ? spatial!.Tail(plan.Rank) : (plan.HasUp ? output.Tail(plan.Rank) : 0) + (plan.InputRank is { } rank ? input!.Tail(rank) : 0);
        return output.Total > 0 ? Math.Max(0, 1 - lost / output.Total) : null;
    }

    IEnumerable<LayerReport> LayerReports(VerifiedPlan? plan)
    {
        for (int i = 0; i < found.Layers.Count; i++)
        {
            yield return Of(found.Layers[i], plan?.Allotment.Chosen[i]);
        }
        foreach (var alone in found.LeftAlone)
        {
            yield return new(alone.Name, alone.Op, alone.Shape, "keep", null, null, null, null, alone.Bytes, alone.Bytes, null, alone.Reason);
        }
    }

    LayerReport Of(Layer layer, Candidate? chosen)
    {
        var kept = new LayerReport(
            layer.Name, layer.Node.OpType, layer.Weight.Dims, "keep", null, null, null, null, layer.Bytes, layer.Bytes, null, KeepReason(layer, chosen != null))
        {
            InputSpread = Analysis is { } analysis && analysis.Spreads.TryGetValue(layer, out double spread) ? spread : null,
        };
        long bytes = (long)(chosen?.Bytes ?? 0);
        if (chosen != null && Proof?.Layers.GetValueOrDefault(layer) is { } proof)
        {
            kept = kept with
            {
                Kernel = string.Join('+', proof.After.Kernels),
                MicrosecondsBefore = proof.Before.One,
                MicrosecondsAfter = proof.After.One,
                BatchMicrosecondsBefore = proof.Before.Each,
                BatchMicrosecondsAfter = proof.After.Each,
            };
        }
        string? uneven = WhyUneven(layer) is { Length: > 0 } why ? why : null;
        return chosen?.Plan switch
        {
            LayerPlan.Quantize quantize => kept with
            {
                Action = "quantize",
                Format = Name(quantize),
                WeightOnly = quantize.WeightOnly,
                Correction = quantize.Correction > 0 ? quantize.Correction : null,
                BytesAfter = bytes,
                PredictedError = chosen.Value.Error,
                Reason = uneven,
            },
            LayerPlan.Factorize factorize => kept with
            {
                Action = "factorize",
                Rank = factorize.IsCutAtRank ? factorize.Rank : null,
                InputRank = factorize.InputRank,
                Format = Name(factorize),
                WeightOnly = factorize.WeightOnly,
                Scheme = layer.Kind == LayerKind.Conv ? factorize.Scheme : null,
                BytesAfter = bytes,
                PredictedError = chosen.Value.Error,
                KeptEnergy = KeptEnergy(factorize),
                Reason = uneven,
            },
            _ => kept,
        };
    }

    static string Name(LayerPlan plan) => (plan.Format, plan.Layer.StoredType) switch
    {
        (not (WeightFormat.Float32 or WeightFormat.Float16), _) => $"int{plan.Format.Bits()}",
        (WeightFormat.Float16, _) or (_, TensorProto.Types.DataType.Float16) => "fp16",
        (_, TensorProto.Types.DataType.Bfloat16) => "bf16",
        (_, TensorProto.Types.DataType.Double) => "fp64",
        _ => "fp32",
    };

    /// <summary>Why a layer is not offered 8 bits with one scale per run, or nothing.</summary>
    string WhyUneven(Layer layer) => Analysis?.IsUneven(layer) == true
        ? $"the input's largest row is {Analysis.Spreads[layer]:0} times the median one: no 8 bits with one scale for all rows"
        : "";

    string KeepReason(Layer layer, bool wasPlanned)
    {
        // Where the format is free, weights alone may be stored in 8 bits whatever runs.
        string cannotQuantize = options.Format == FormatChoice.Float32 || (options.Format == FormatChoice.Auto && !layer.IsTable) ? "" : Analysis.Obstacle(layer, options.Format switch { FormatChoice.Int4 => WeightFormat.Int4, FormatChoice.Float16 => WeightFormat.Float16, _ => WeightFormat.Int8 }, options.Dialect, workspace.Model.Opset);
        if (Analysis?.IsSeen(layer) == false)
        {
            return "on the samples it is applied to nothing: an axis of its input has length 0";
        }
        string shape = layer.IsDepthwise ? "depthwise: one input per output, nothing to factorize"
            : layer.BreakEvenRank < 1 ? "no rank saves anything"
            : "";
        string[] obstacles = [.. new[] { shape, cannotQuantize, WhyUneven(layer) }.Where(text => text.Length > 0)];
        return obstacles.Length > 0 ? string.Join("; ", obstacles)
            : wasPlanned ? "what it would save is worth less than what it would lose"
            : "no plan was accepted";
    }
}
