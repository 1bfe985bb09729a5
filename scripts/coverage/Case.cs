namespace Coverage;

/// <summary>A model to try.</summary>
/// <param name="Group">Where it is from: a folder of ONNX's suite, "wild", "zoo" or "variants".</param>
/// <param name="Data">A folder with test_data_set_N/{input,output}_N.pb, or null.</param>
/// <param name="Samples">Samples in a form that --calib takes, for models without <paramref name="Data"/>; null where they are to be generated.</param>
sealed record Case(string Group, string Name, string Model, string? Data = null, string? Samples = null)
{
    /// <summary>Shapes that inputs are known to run with; others are guessed from the model.</summary>
    public Dictionary<string, long[]> Shapes { get; init; } = [];

    public bool IsVariant => Group == Variants.Group;

    public override string ToString() => $"{Group}/{Name}";
}

/// <summary>One run of the program.</summary>
/// <param name="Message">The line on standard error, without the program's and the files' names.</param>
/// <param name="Distance">‖Δy‖/‖y‖ of the worst output of the written model on data that it was not made with or, for a case with data, on that data; null where nothing was written.</param>
sealed record Trial(string Label, int Exit, string Message, double? Distance);

/// <summary>What the program says that becomes of a node with a weight.</summary>
/// <param name="Label">Of the trial.</param>
/// <param name="Reason">Why it is left alone; empty where it is rewritten.</param>
sealed record Fate(string Label, string Op, string Action, string Reason);

/// <summary>Everything that was found out about a case.</summary>
/// <param name="RoundTrip">Whether saving makes what was loaded: "equal", or what happened instead.</param>
/// <param name="Original">Whether ONNX Runtime computes what the case expects: "as expected", or what it does instead.</param>
/// <param name="Opset">0 where the model is not loaded.</param>
sealed record Result(string Group, string Name, string RoundTrip, string Original, int Opset, List<Trial> Trials, List<Fate> Fates, List<string> Defects);
