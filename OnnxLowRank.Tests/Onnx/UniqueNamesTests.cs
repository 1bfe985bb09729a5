using OnnxLowRank.Onnx;

namespace OnnxLowRank.Tests.Onnx;

public class UniqueNamesTests
{
    [Fact]
    public void Names_that_are_taken_get_the_next_number_that_is_free()
    {
        var model = new TinyModel();
        model.Input("x", 1);
        model.Node("Relu", ["x"], "x_3");
        var names = new UniqueNames(model.Build());

        Assert.Equal(["y", "x_2", "x_4", "y_2", "x_5", "x_4_2"], new[] { "y", "x", "x", "y", "x", "x_4" }.Select(names.Fresh));
    }

    /// <summary>All nodes of a function may have the same name. A loop over all numbers for each took hours.</summary>
    [Fact]
    public void A_name_wanted_often_takes_no_longer_each_time()
    {
        var model = new TinyModel();
        model.Input("x", 1);
        var names = new UniqueNames(model.Build());

        string name = "";
        for (int i = 0; i < 300_000; i++)
        {
            name = names.Fresh("x");
        }

        Assert.Equal("x_300001", name);
    }
}
