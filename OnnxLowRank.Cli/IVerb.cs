using System.CommandLine;

namespace OnnxLowRank.Cli;

/// <summary>One of the things that the program does.</summary>
interface IVerb
{
    Command Command { get; }

    /// <summary>Whether errors are to be told with their trace.</summary>
    Option<bool> Verbose { get; }

    /// <summary>Does it; returns the exit code.</summary>
    int Run(ParseResult parsed, CancellationToken cancellation);

    /// <summary>What is there to say when the user interrupts it.</summary>
    string Interrupted(ParseResult parsed) => NothingWritten;

    /// <summary>Of most verbs.</summary>
    const string NothingWritten = "interrupted, nothing was written";

    /// <summary>The model to read, as typed.</summary>
    string InputOf(ParseResult parsed);
}
