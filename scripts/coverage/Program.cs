// Runs onnx-lowrank over ONNX's backend test suite, published models and small models of every operator variant, and writes what became of
// each: raw results as a text, and a page with a table of operators and variants.
//
//   dotnet run -c Release --project scripts/coverage -- SUITE_DIR WORK_DIR RESULTS.txt PAGE.md [--zoo DIR] [--version TEXT] [--only REGEX] [--limit SECONDS]
//
// SUITE_DIR is share/libonnx-testdata/data of Debian's package. Cases run in a worker process that is started again when it dies, so that a
// crash in native code is a result. Exit 1 if any case is not as it should be.

using System.Globalization;
using System.Text.RegularExpressions;
using Coverage;

CultureInfo.DefaultThreadCurrentCulture = CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
if (args is ["worker", var folder])
{
    return Worker.Serve(folder);
}
if (args.Length < 4)
{
    Console.Error.WriteLine("usage: coverage SUITE_DIR WORK_DIR RESULTS.txt PAGE.md [--zoo DIR] [--version TEXT] [--only REGEX] [--limit SECONDS]");
    return 2;
}
string? Option(string name) => Array.IndexOf(args, name) is >= 0 and var at && at + 1 < args.Length ? args[at + 1] : null;
string work = Path.GetFullPath(args[1]);
var limit = TimeSpan.FromSeconds(double.Parse(Option("--limit") ?? "300"));
var only = new Regex(Option("--only") ?? "");
Case[] cases = [.. Cases.Of(args[0], work, Option("--zoo")).Where(item => only.IsMatch(item.ToString()))];

var results = new List<Result>();
using (var worker = new WorkerProcess(work, limit))
{
    foreach (var (i, item) in cases.Index())
    {
        var result = worker.Try(item);
        results.Add(result);
        foreach (string defect in result.Defects)
        {
            Console.Error.WriteLine($"{item}: {defect}");
        }
        if (i % 100 == 99)
        {
            Console.Error.WriteLine($"{i + 1} of {cases.Length} cases");
        }
    }
}
var report = new Report(results, Option("--version") ?? "unknown");
File.WriteAllText(args[2], report.Text());
File.WriteAllText(args[3], report.Page());
Console.Error.WriteLine($"{results.Count} cases, {results.Count(result => result.Defects.Count > 0)} not as they should be");
return results.Exists(result => result.Defects.Count > 0) ? 1 : 0;
