using System.CommandLine;
using System.CommandLine.Help;

namespace OnnxLowRank.Cli;

/// <summary>Everything the program does, as a tree of commands: the default verb is its root, the others are below it.</summary>
sealed class Verbs
{
    readonly CompressCommand _compress = new();

    public Verbs()
    {
        All = [_compress, new InspectCommand(), new UtilizationCommand(), new SweepCommand(), new CompareCommand(), new BenchCommand(), new CalibrateCommand()];
        foreach (var verb in All.Skip(1))
        {
            _compress.Root.Add(verb.Command);
        }
        _compress.Root.Options.OfType<HelpOption>().Single().Action = new Help(this); // the verbs below inherit the option
    }

    /// <summary>The default one first.</summary>
    public IReadOnlyList<IVerb> All { get; }

    public IEnumerable<string> Names => All.Select(verb => verb.Name);

    public ParseResult Parse(string[] args)
    {
        bool isNamed = args.Length > 0 && args[0] == _compress.Name;
        _compress.ShowsArguments = isNamed || args.Length == 0 || !Names.Contains(args[0]); // a verb's usage would show them too
        return _compress.Root.Parse(isNamed ? args[1..] : args);
    }

    /// <summary>The verb that a command line asks for.</summary>
    public IVerb Of(ParseResult parsed) => All.First(verb => verb.Command == parsed.CommandResult.Command);
}
