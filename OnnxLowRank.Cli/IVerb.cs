using System.CommandLine;

namespace OnnxLowRank.Cli;

/// <summary>One of the things that the program does.</summary>
interface IVerb
{
    Command Command { get; }

    /// <summary>What it is called; its page is docs/NAME.md.</summary>
    string Name => Command.Name;

    /// <summary>Command lines for its help, 78 columns wide at most; long ones are broken as in a shell.</summary>
    IReadOnlyList<string> Examples { get; }

    /// <summary>Whether errors are to be told with their trace.</summary>
    Option<bool> Verbose { get; }

    /// <summary>Does it; returns the exit code.</summary>
    int Run(ParseResult parsed, CancellationToken cancellation);

    /// <summary>What is there to say when the user interrupts it.</summary>
    string Interrupted(ParseResult parsed) => NothingWritten;

    /// <summary>How long an interrupted job may take to end by itself.</summary>
    TimeSpan Grace => TimeSpan.FromSeconds(0.5);

    /// <summary>Of most verbs.</summary>
    const string NothingWritten = "interrupted, nothing was written";

    /// <summary>The model that an error is about unless it names one, as typed; empty where there are several and every error names its own.</summary>
    string InputOf(ParseResult parsed);
}
