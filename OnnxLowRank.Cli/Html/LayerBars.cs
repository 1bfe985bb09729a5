namespace OnnxLowRank.Cli.Html;

/// <summary>Charts with a group of bars per layer: of the largest layers, in the order of the graph.</summary>
/// <param name="size">What tells which are the largest.</param>
/// <param name="about">What else to tell when a layer's first bar is touched.</param>
sealed class LayerBars<T>(Func<T, string> name, Func<T, long> size, Func<T, string> about)
{
    /// <summary>More groups than that are no picture; the table has them all.</summary>
    const int Most = 40;

    /// <param name="layers">All of them, in the order of the graph.</param>
    /// <param name="what">What they are, in the plural.</param>
    /// <param name="more">The end of the description, which begins with the layers that are shown.</param>
    public Chart Of(IReadOnlyList<T> layers, string title, string what, string more, ChartAxis axis, params (string Name, Func<T, double> Value)[] series)
    {
        var largest = layers.OrderByDescending(size).Take(Most).ToHashSet();
        T[] shown = [.. layers.Where(largest.Contains)];
        string which = shown.Length < layers.Count ? $"The {shown.Length} largest of {layers.Count} {what}" : $"All {what}";
        return new(title, $"{which}, in the order of the graph{more}", axis, new(""), [.. series.Select((item, i) => new ChartSeries(
            item.Name, SeriesMark.Bars, [.. shown.Select(layer => new ChartPoint(item.Value(layer), 0, i == 0 ? about(layer) : null))]))])
        {
            Categories = [.. shown.Select(name)],
        };
    }
}
