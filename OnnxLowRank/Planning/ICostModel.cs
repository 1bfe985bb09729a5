namespace OnnxLowRank.Planning;

/// <summary>What it takes to run a layer.</summary>
interface ICostModel
{
    /// <summary>Time of a layer done like this, in a unit that is the same for every plan of every layer.</summary>
    double Time(LayerPlan plan);
}
