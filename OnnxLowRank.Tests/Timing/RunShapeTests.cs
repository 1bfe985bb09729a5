using OnnxLowRank.Timing;

namespace OnnxLowRank.Tests.Timing;

public class RunShapeTests
{
    [Fact]
    public void Axes_grow_as_two_runs_showed()
    {
        var shape = new RunShape([1, 64, 49], [1, 128, 49]);

        Assert.Equal([1, 64 * 32, 49], shape.At(32));
        Assert.Equal((false, true, false), (shape.Grows(0), shape.Grows(1), shape.IsFixed));
        Assert.Equal("[1,64+64,49]", shape.ToString());
        Assert.True(new RunShape([8, 3], [8, 3]).IsFixed);
    }
}
