using System.Text.RegularExpressions;
using Spectre.Console.Rendering;

namespace OnnxLowRank.Cli;

/// <summary>Names from models as a terminal may show them: a node may be named with the codes that move its cursor.</summary>
static partial class PrintableText
{
    const string Replacement = "\uFFFD";

    public static string Of(string text) => Controls().Replace(text, Replacement);

    /// <summary>Control characters, and marks that turn the direction of the text behind them.</summary>
    [GeneratedRegex(@"[\p{Cc}\u202A-\u202E\u2066-\u2069]")]
    private static partial Regex Controls();

    /// <summary>Replaces them in everything that a console writes, but not in the codes of its own.</summary>
    public sealed class Hook : IRenderHook
    {
        public IEnumerable<IRenderable> Process(RenderOptions options, IEnumerable<IRenderable> renderables) => renderables.Select(inner => new Printable(inner));
    }

    sealed class Printable(IRenderable inner) : IRenderable
    {
        public Measurement Measure(RenderOptions options, int maxWidth) => inner.Measure(options, maxWidth);

        public IEnumerable<Segment> Render(RenderOptions options, int maxWidth) =>
            inner.Render(options, maxWidth).Select(segment => segment.IsControlCode || segment.IsLineBreak ? segment : new Segment(Of(segment.Text), segment.Style));
    }
}
