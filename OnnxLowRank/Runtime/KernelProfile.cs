using System.Text.Json;

namespace OnnxLowRank.Runtime;

/// <summary>One node of ONNX Runtime's optimized graph in one run.</summary>
/// <param name="Op">Its operator's name.</param>
/// <param name="Microseconds">Time inside its kernel, in whole microseconds, cut.</param>
readonly record struct KernelTime(string Op, double Microseconds);

/// <summary>Reads the profiles that ONNX Runtime writes: an array of events in Chrome's trace format.</summary>
static class KernelProfile
{
    const string KernelSuffix = "_kernel_time";

    /// <summary>Per run, the nodes in the order in which they ran.</summary>
    /// <exception cref="JsonException">It is not such a profile.</exception>
    public static List<List<KernelTime>> Read(ReadOnlyMemory<byte> profile)
    {
        var runs = new List<List<KernelTime>>();
        var nodes = new List<KernelTime>();
        using var events = JsonDocument.Parse(profile);
        foreach (var item in events.RootElement.EnumerateArray())
        {
            string category = Text(item, "cat"), name = Text(item, "name");
            if (category == "Node" && name.EndsWith(KernelSuffix, StringComparison.Ordinal))
            {
                nodes.Add(new(Text(item.GetProperty("args"), "op_name"), item.GetProperty("dur").GetDouble()));
            }
            else if (category == "Session" && name == "model_run")
            {
                runs.Add(nodes);
                nodes = [];
            }
        }
        return runs;
    }

    static string Text(JsonElement item, string name) => item.TryGetProperty(name, out var value) ? value.GetString() ?? "" : "";
}
