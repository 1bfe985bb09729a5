using System.Diagnostics;

namespace OnnxLowRank.Cli;

/// <summary>
/// How far a job is, on standard error: on a terminal one line with a bar and the time left that is written over and over, gone in the
/// end; elsewhere a plain line per stage that begins, so that a log shows where time went.
/// </summary>
/// <param name="stages">Where each stage starts and ends in the whole, by experience; null for a compression's.</param>
sealed class ProgressLine(bool isQuiet, IReadOnlyDictionary<string, (double From, double To)>? stages = null) : IProgress<StageProgress>, IDisposable
{
    const int BarWidth = 24;

    /// <summary>Before that, the time left would be a guess.</summary>
    const double FirstEstimate = 0.05;

    static readonly TimeSpan s_tick = TimeSpan.FromSeconds(1);

    static readonly Dictionary<string, (double From, double To)> s_compression = new()
    {
        ["load"] = (0, 0.02),
        ["calibrate"] = (0.02, 0.25),
        ["decompose"] = (0.25, 0.35),
        ["time"] = (0.35, 0.5),
        ["search"] = (0.5, 0.9),
        ["utilize"] = (0.02, 0.98),
        ["verify"] = (0.9, 1),
        ["sweep"] = (0, 1),
    };

    static readonly bool s_isTerminal = !Console.IsErrorRedirected && Environment.GetEnvironmentVariable("TERM") != "dumb";

    readonly IReadOnlyDictionary<string, (double From, double To)> _stages = stages ?? s_compression;
    readonly long _start = Stopwatch.GetTimestamp();
    readonly Lock _line = new();
    string _stage = "load"; // the first: that a job begins needs no line
    double _reached;
    Timer? _clock;

    public void Report(StageProgress value)
    {
        if (isQuiet)
        {
            return;
        }
        lock (_line)
        {
            bool isNew = value.Stage != _stage;
            _stage = value.Stage;
            var (from, to) = _stages.GetValueOrDefault(value.Stage); // progress is never worth failing for
            _reached = Math.Max(_reached, from + (to - from) * value.Fraction);
            if (s_isTerminal)
            {
                _clock ??= new(_ => Draw(), null, s_tick, s_tick); // goes on where a stage has nothing to tell for long
                Draw();
            }
            else if (isNew)
            {
                Console.Error.WriteLine($"[{Text(Stopwatch.GetElapsedTime(_start))}] {_stage}");
            }
        }
    }

    void Draw()
    {
        lock (_line)
        {
            var elapsed = Stopwatch.GetElapsedTime(_start);
            int done = (int)(_reached * BarWidth);
            string left = _reached > FirstEstimate ? $", about {Text(elapsed * ((1 - _reached) / _reached))} left" : "";
            Console.Error.Write($"\r\e[K{_stage,-10} [{new string('#', done)}{new string('.', BarWidth - done)}] {_reached,4:P0}  {Text(elapsed)}{left}");
        }
    }

    static string Text(TimeSpan time) => time.TotalMinutes >= 1 ? $"{(int)time.TotalMinutes}m{time.Seconds:00}s" : $"{time.TotalSeconds:0}s";

    public void Dispose()
    {
        if (_clock == null)
        {
            return;
        }
        using (var stopped = new ManualResetEvent(false))
        {
            if (_clock.Dispose(stopped))
            {
                stopped.WaitOne(); // a tick must not draw what is wiped here
            }
        }
        Wipe();
    }

    /// <summary>Makes room for another line where one of these may be.</summary>
    public static void Wipe()
    {
        if (s_isTerminal)
        {
            Console.Error.Write("\r\e[K");
        }
    }
}
