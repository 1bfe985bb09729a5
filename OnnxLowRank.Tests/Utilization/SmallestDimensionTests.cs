using OnnxLowRank.Utilization;

namespace OnnxLowRank.Tests.Utilization;

public class SmallestDimensionTests
{
    [Fact]
    public void The_threshold_is_found_wherever_it_is()
    {
        for (int all = 1; all <= 40; all++)
        {
            for (int threshold = 1; threshold <= all; threshold++)
            {
                int asked = 0;

                int found = SmallestDimension.Of(all, dimension =>
                {
                    asked++;
                    Assert.InRange(dimension, 1, all - 1);
                    return dimension >= threshold;
                });

                Assert.Equal(threshold, found);
                Assert.True(asked <= SmallestDimension.Questions(all), $"{asked} questions for {all}");
            }
        }
    }
}
