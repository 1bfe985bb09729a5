namespace OnnxLowRank.Cli;

/// <summary>Exit codes; pipelines depend on them.</summary>
static class ExitCode
{
    /// <summary>Written, loaded again, within tolerance on the samples kept aside.</summary>
    public const int Success = 0;

    /// <summary>The command line is wrong.</summary>
    public const int Usage = 2;

    /// <summary>The model cannot be read, is not valid, or ONNX Runtime cannot run it.</summary>
    public const int Model = 3;

    /// <summary>The calibration data does not fit the model, or is unreadable, empty or not finite.</summary>
    public const int Data = 4;

    /// <summary>The tolerance cannot be met, or nothing is smaller.</summary>
    public const int NotMet = 5;

    /// <summary>A native library or device is missing or failed, memory or disk ran out, the output cannot be written.</summary>
    public const int Environment = 6;

    /// <summary>A defect of ours.</summary>
    public const int Defect = 70;

    /// <summary>Interrupted.</summary>
    public const int Interrupted = 130;
}
