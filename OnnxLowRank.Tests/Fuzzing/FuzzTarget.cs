namespace OnnxLowRank.Tests.Fuzzing;

/// <summary>Something that reads what others wrote. A new one is a class like its neighbours, and a line in <see cref="All"/>.</summary>
abstract class FuzzTarget
{
    /// <summary>By name.</summary>
    public static IReadOnlyDictionary<string, FuzzTarget> All { get; } =
        new FuzzTarget[] { new ModelTarget(), new GraphTarget(), new NpyTarget(), new NpzTarget(), new TensorTarget(), new LabelsTarget(), new StatsTarget() }
            .ToDictionary(target => target.Name);

    /// <summary>In messages, and part of every case's seed.</summary>
    public abstract string Name { get; }

    /// <summary>A valid input, another one for every state of the generator.</summary>
    public abstract FuzzInput Seed(Random random);

    /// <summary>The input with one or a few things wrong.</summary>
    public abstract FuzzInput Mutate(FuzzInput valid, Random random);

    /// <summary>Reads what the case wrote to a folder as the program does, down to the elements.</summary>
    public abstract void Read(string folder);

    /// <summary>Whether an exception is one that the program turns into a documented exit code.</summary>
    public abstract bool Refuses(Exception e);

    /// <summary>The command line, in the folder, that reads this input; a model, samples and labels that the input lacks are there.</summary>
    public abstract string[] CommandLine { get; }

    /// <summary>What input <c>x</c> of every seed's model has for a sample.</summary>
    public const int Width = 12;
}
