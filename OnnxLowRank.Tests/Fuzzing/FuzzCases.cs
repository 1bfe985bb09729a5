using System.Diagnostics;
using System.Globalization;
using OnnxLowRank.Tests.Samples;

namespace OnnxLowRank.Tests.Fuzzing;

/// <summary>
/// Runs numbered cases of a target. A case is its number: the same files, whatever ran before.
/// <list type="bullet">
/// <item><c>FUZZ_CASES=N</c> runs N cases per target instead of the default.</item>
/// <item><c>FUZZ_FIRST=N</c> starts at case N; with <c>FUZZ_CASES=1</c> that is how a failure is looked at again.</item>
/// <item><c>FUZZ_LOG=FILE</c> keeps the number of the case that runs in a file, which survives when the process does not (a stack
/// overflow, a crash of native code).</item>
/// </list>
/// </summary>
static class FuzzCases
{
    /// <summary>Valid inputs that cases start from, per target.</summary>
    public const int Seeds = 64;

    const int Workers = 2;

    /// <summary>Whatever the file says: room for buffers, and some hundred bytes per byte that was really there, as small messages become objects.</summary>
    const long MostBytes = 16 << 20, MostBytesPerByte = 400;

    static readonly TimeSpan s_longest = TimeSpan.FromSeconds(10);

    /// <summary>A case that runs so long will not end; less may be a busy machine's fault.</summary>
    static readonly TimeSpan s_endless = TimeSpan.FromMinutes(1);

    static readonly string? s_log = Environment.GetEnvironmentVariable("FUZZ_LOG");

    /// <summary>The number of a case that runs is written here, at the worker's place.</summary>
    static readonly FileStream? s_logFile = s_log == null ? null : new(s_log, FileMode.Create, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);

    public static int First => Variable("FUZZ_FIRST", 0);

    public static int Count(int usual) => Variable("FUZZ_CASES", usual);

    static int Variable(string name, int missing) =>
        Environment.GetEnvironmentVariable(name) is { } text ? int.Parse(text, CultureInfo.InvariantCulture) : missing;

    /// <summary>A generator of its own for every case: close numbers must not give alike sequences.</summary>
    static Random RandomOf(FuzzTarget target, int number) => new(unchecked((number + 1) * (int)0x9E3779B1 ^ target.Name.Sum(letter => letter) * 7919));

    public static FuzzInput SeedOf(FuzzTarget target, int number) => target.Seed(RandomOf(target, -2 - number));

    public static FuzzInput InputOf(FuzzTarget target, int number, IReadOnlyList<FuzzInput> seeds) =>
        target.Mutate(seeds[number % seeds.Count], RandomOf(target, number));

    public static FuzzInput[] SeedsOf(FuzzTarget target) => [.. Enumerable.Range(0, Seeds).Select(number => SeedOf(target, number))];

    /// <summary>Keeps the number of a case where a crash leaves it.</summary>
    public static void Log(int worker, FuzzTarget target, int number)
    {
        if (s_logFile != null)
        {
            RandomAccess.Write(s_logFile.SafeFileHandle, System.Text.Encoding.ASCII.GetBytes($"{target.Name,-8}{number,11}\n"), worker * 20L);
        }
    }

    /// <summary>How many cases were read and how many refused.</summary>
    /// <exception cref="Xunit.Sdk.XunitException">A case took too long or too much memory, or threw something else; the message has its number.</exception>
    public static (int Read, int Refused) Run(FuzzTarget target, int first, int count)
    {
        var seeds = SeedsOf(target);
        using var stop = new CancellationTokenSource();
        var workers = Enumerable.Range(0, Workers).Select(index => new Worker(target, seeds, index, first, count, stop.Token)).ToList();
        foreach (var worker in workers)
        {
            while (!worker.Thread.Join(TimeSpan.FromSeconds(1)))
            {
                foreach (var running in workers.Where(other => other.Running is var (_, started) && Stopwatch.GetElapsedTime(started) > s_endless))
                {
                    stop.Cancel();
                    Assert.Fail($"{target.Name} case {running.Running?.Number}: still running after {s_endless.TotalSeconds} s");
                }
            }
        }
        var failures = workers.SelectMany(worker => worker.Failures).OrderBy(failure => failure.Number).DistinctBy(failure => failure.Where).ToList();
        Assert.True(failures.Count == 0, string.Join("\n\n", failures.Select(failure => $"{target.Name} case {failure.Number}: {failure.What}")));
        return (workers.Sum(worker => worker.Read), workers.Sum(worker => worker.Refused));
    }

    /// <summary>Every other case, on a thread of its own in a folder of its own.</summary>
    sealed class Worker
    {
        readonly FuzzTarget _target;
        int _number;
        long _started;

        public Worker(FuzzTarget target, FuzzInput[] seeds, int index, int first, int count, CancellationToken stop)
        {
            _target = target;
            Thread = new(() =>
            {
                using var folder = new TempFolder();
                for (int i = index; i < count && !stop.IsCancellationRequested; i += Workers)
                {
                    Log(index, target, first + i);
                    Check(folder.Path, first + i, InputOf(target, first + i, seeds));
                }
                Volatile.Write(ref _started, 0);
            })
            { IsBackground = true };
            Thread.Start();
        }

        public Thread Thread { get; }

        /// <summary>The case that runs and when it began.</summary>
        public (int Number, long Started)? Running => Volatile.Read(ref _started) is var started and > 0 ? (_number, started) : null;

        /// <summary>With the place in our code, as one defect shows in many cases.</summary>
        public List<(int Number, string Where, string What)> Failures { get; } = [];

        public int Read { get; private set; }

        public int Refused { get; private set; }

        void Check(string folder, int number, FuzzInput input)
        {
            input.WriteTo(folder);
            _number = number;
            Volatile.Write(ref _started, Stopwatch.GetTimestamp());
            long before = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                _target.Read(folder);
                Read++;
            }
            catch (Exception e) when (_target.Refuses(e))
            {
                Refused++;
            }
            catch (Exception e)
            {
                string trace = e.ToString();
                Failures.Add((number, trace.Split('\n').FirstOrDefault(line => line.Contains(" at OnnxLowRank.", StringComparison.Ordinal), trace), trace));
            }
            long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            if (allocated > MostBytes + MostBytesPerByte * input.Bytes)
            {
                Failures.Add((number, "memory", $"{allocated} bytes were allocated for files of {input.Bytes}"));
            }
            if (Stopwatch.GetElapsedTime(_started) > s_longest && TimeAgain(folder) is var again && again > s_longest)
            {
                Failures.Add((number, "time", $"took {again}"));
            }
            input.DeleteFrom(folder);
        }

        /// <summary>The first time another process may have been what took so long.</summary>
        TimeSpan TimeAgain(string folder)
        {
            long start = Stopwatch.GetTimestamp();
            try
            {
                _target.Read(folder);
            }
            catch (Exception e) when (_target.Refuses(e))
            {
            }
            return Stopwatch.GetElapsedTime(start);
        }
    }
}
