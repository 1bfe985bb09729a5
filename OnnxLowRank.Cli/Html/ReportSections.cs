namespace OnnxLowRank.Cli.Html;

/// <summary>Sections that pages of several commands have.</summary>
static class ReportSections
{
    /// <summary>What a careful reader wants to know; no section where there is nothing.</summary>
    public static void Notes(HtmlPage page, IReadOnlyList<string> notes)
    {
        if (notes.Count > 0)
        {
            page.Section("Notes");
            page.List(notes);
        }
    }

    /// <summary>The command line, and what its result depends on.</summary>
    /// <param name="arguments">Without the program's name.</param>
    public static void Reproduce(HtmlPage page, ToolInfo tool, IReadOnlyList<string> arguments, IEnumerable<(string Name, HtmlCell Value)> facts)
    {
        page.Section("How to reproduce");
        page.Code(Shell.Command([tool.Name, .. arguments]));
        page.Facts(facts);
    }

    /// <summary>What ran, in short, as facts to reproduce it by.</summary>
    public static IEnumerable<(string Name, HtmlCell Value)> Ran(ToolInfo tool, RuntimeInfo runtime) =>
    [
        ("program", $"{tool.Name} {tool.Version}"), ("ONNX Runtime", $"{runtime.OnnxRuntime} on {runtime.Device}, {runtime.Threads} threads"),
        ("linear algebra", runtime.LinearAlgebra),
    ];
}
