using System.Diagnostics;

namespace OnnxLowRank;

/// <summary>Wall-clock time by stage, and the progress a caller sees.</summary>
sealed class StageClock(IProgress<StageProgress>? progress)
{
    readonly Dictionary<string, double> _seconds = [];
    readonly long _start = Stopwatch.GetTimestamp();
    long _entered = Stopwatch.GetTimestamp();
    string _stage = "load";

    /// <summary>Ends the running stage and starts another; entering a stage again adds to it.</summary>
    public void Enter(string stage)
    {
        Close();
        _stage = stage;
        Report(0);
    }

    /// <summary>Tells how much of the running stage is done, 0…1.</summary>
    public void Report(double fraction) => progress?.Report(new(_stage, fraction));

    /// <summary>Tells how far calibration is; one pass over half of the samples, two where ranges are measured.</summary>
    public void ReportCalibration(double passes)
    {
        if (_stage == "calibrate")
        {
            Report(Math.Min(1, passes));
        }
    }

    void Close()
    {
        long now = Stopwatch.GetTimestamp();
        _seconds[_stage] = _seconds.GetValueOrDefault(_stage) + Stopwatch.GetElapsedTime(_entered, now).TotalSeconds;
        _entered = now;
    }

    public StageSeconds Seconds()
    {
        Close();
        double Of(string stage) => _seconds.GetValueOrDefault(stage);
        return new(Stopwatch.GetElapsedTime(_start).TotalSeconds, Of("calibrate"), Of("decompose"), Of("time"), Of("search"), Of("verify"));
    }
}
