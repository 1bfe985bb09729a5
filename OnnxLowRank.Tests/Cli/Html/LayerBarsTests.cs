using OnnxLowRank.Cli.Html;

namespace OnnxLowRank.Tests.Cli.Html;

public class LayerBarsTests
{
    static readonly LayerBars<int> s_bars = new(layer => $"layer {layer}", layer => layer, layer => $"size {layer}");

    static Chart Of(int count) => s_bars.Of([.. Enumerable.Range(0, count)], "Sizes", "layers that were cut", ": so large.", new("bytes"), ("before", layer => layer), ("after", layer => -layer));

    [Fact]
    public void Of_many_layers_the_largest_are_shown_in_the_order_of_the_graph()
    {
        var chart = Of(50);

        Assert.Equal(Enumerable.Range(10, 40).Select(layer => $"layer {layer}"), chart.Categories);
        Assert.Equal("The 40 largest of 50 layers that were cut, in the order of the graph: so large.", chart.Description);
        Assert.All(chart.Series, series => Assert.Equal(40, series.Points.Count));
    }

    [Fact]
    public void Few_layers_are_all_shown()
    {
        var chart = Of(40);

        Assert.Equal(40, chart.Categories!.Count);
        Assert.Equal("All layers that were cut, in the order of the graph: so large.", chart.Description);
    }

    [Fact]
    public void Only_the_first_bar_of_a_layer_tells_about_it()
    {
        var chart = Of(3);

        Assert.Equal(["before", "after"], chart.Series.Select(series => series.Name));
        Assert.Equal([new(0, 0, "size 0"), new(1, 0, "size 1"), new(2, 0, "size 2")], chart.Series[0].Points);
        Assert.Equal([new(-0.0, 0), new(-1, 0), new(-2, 0)], chart.Series[1].Points);
    }
}
