using System.Diagnostics;

namespace OnnxLowRank.Cli;

/// <summary>One line on standard error that is written over and over, with the time left; nothing when that is no terminal.</summary>
sealed class ProgressLine(bool isQuiet) : IProgress<CompressionProgress>, IDisposable
{
    /// <summary>Where each stage starts and ends in the whole, by experience.</summary>
    static readonly Dictionary<string, (double From, double To)> s_stages = new()
    {
        ["load"] = (0, 0.02),
        ["calibrate"] = (0.02, 0.25),
        ["decompose"] = (0.25, 0.35),
        ["time"] = (0.35, 0.5),
        ["search"] = (0.5, 0.9),
        ["utilize"] = (0.02, 0.98),
        ["verify"] = (0.9, 1),
    };

    readonly bool _isShown = !isQuiet && !Console.IsErrorRedirected;
    readonly long _start = Stopwatch.GetTimestamp();
    double _reached;

    public void Report(CompressionProgress value)
    {
        if (!_isShown)
        {
            return;
        }
        var (from, to) = s_stages.GetValueOrDefault(value.Stage); // progress is never worth failing for
        _reached = Math.Max(_reached, from + (to - from) * value.Fraction);
        var elapsed = Stopwatch.GetElapsedTime(_start);
        string left = _reached > 0.05 ? $", about {Text(elapsed * ((1 - _reached) / _reached))} left" : "";
        Console.Error.Write($"\r\e[K{value.Stage,-10} {_reached,4:P0}  {Text(elapsed)}{left}");
    }

    static string Text(TimeSpan time) => time.TotalMinutes >= 1 ? $"{(int)time.TotalMinutes}m{time.Seconds:00}s" : $"{time.TotalSeconds:0}s";

    public void Dispose()
    {
        if (_isShown)
        {
            Console.Error.Write("\r\e[K");
        }
    }
}
