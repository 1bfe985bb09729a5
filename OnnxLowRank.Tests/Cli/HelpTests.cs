using System.Text.RegularExpressions;
using OnnxLowRank.Cli;

namespace OnnxLowRank.Tests.Cli;

/// <summary>Help of every verb: fits a narrow terminal, has examples that can be typed, and is in the verb's page.</summary>
public partial class HelpTests
{
    const int Columns = 80;

    public static TheoryData<string> Names => [.. new Verbs().Names];

    static string Help(string verb)
    {
        var result = CommandLine.Run(CommandLine.Models, verb, "--help");
        Assert.True(result.Exit == 0 && result.Error == "", result.ToString());
        return Regex.Replace(result.Output.ReplaceLineEndings("\n"), @"[ \t]+(?=\n)", "").Trim() + "\n";
    }

    [Theory, MemberData(nameof(Names))]
    public void It_is_80_columns_wide_and_ends_with_examples(string verb)
    {
        string help = Help(verb);

        Assert.All(help.Split('\n'), line => Assert.True(line.Length <= Columns, line));
        Assert.Matches(@"\n\nExamples:\n(  \S.*\n)+$", help);
    }

    [Theory, MemberData(nameof(Names))]
    public void It_fits_the_terminal(string verb)
    {
        var result = CommandLine.RunOnTerminal(CommandLine.Models, verb, "--help");
        Assert.SkipWhen(result == null, "no /usr/bin/script, which makes a terminal");

        Assert.All(Escapes().Replace(result.Output, "").Split('\n'), line => Assert.True(line.TrimEnd().Length <= Columns, line));
    }

    [GeneratedRegex(@"\e\[[?0-9;]*[a-zA-Z]")]
    private static partial Regex Escapes();

    [Theory, MemberData(nameof(Names))]
    public void Examples_can_be_parsed(string verb)
    {
        var examples = new Verbs().All.Single(one => one.Name == verb).Examples;

        Assert.NotEmpty(examples);
        Assert.All(examples, example =>
        {
            string[] words = example.Split('|')[0].Split(' ', StringSplitOptions.RemoveEmptyEntries);
            Assert.Equal("onnx-lowrank", words[0]);
            var verbs = new Verbs();
            var parsed = verbs.Parse(words[1..]);
            Assert.True(parsed.Errors.Count == 0, $"{example}: {string.Join("; ", parsed.Errors)}");
            Assert.Equal(verb, verbs.Of(parsed).Name);
        });
    }

    [Theory, MemberData(nameof(Names))]
    public void The_verb_s_page_has_it(string verb) => CommittedText.AssertIsUpToDate($"docs/{verb}.md", page =>
    {
        Assert.True(Between().Count(page) == 1, $"docs/{verb}.md has no place for the help: it needs the lines <!-- help --> and <!-- /help -->");
        return Between().Replace(page, _ => $"<!-- help -->\n```\n{Help(verb)}```\n<!-- /help -->");
    });

    [GeneratedRegex("<!-- help -->.*<!-- /help -->", RegexOptions.Singleline)]
    private static partial Regex Between();

    [Fact]
    public void Every_page_of_a_verb_has_its_verb()
    {
        var pages = Directory.EnumerateFiles(CommittedText.PathOf("docs"), "*.md").Where(page => Between().IsMatch(File.ReadAllText(page)));

        Assert.Equal(new Verbs().Names.Order(), pages.Select(Path.GetFileNameWithoutExtension).Order());
    }

    [Theory]
    [InlineData("unknown command inspct; did you mean inspect?", "inspct", "in.onnx")]
    [InlineData("unknown command compres; did you mean compress?", "compres", "in.onnx", "out.onnx", "--calib", "calib")]
    [InlineData("did you mean accuracy?", "in.onnx", "out.onnx", "--calib", "calib", "--metric", "acuracy")]
    [InlineData("unknown option --tol; did you mean --tolerance?", "in.onnx", "out.onnx", "--calib", "calib", "--tol", "1")]
    [InlineData("nothing.onnx", "nothing.onnx", "out.onnx", "--calib", "calib")] // a model that is missing is no verb
    public void What_was_meant_is_guessed(string says, params string[] arguments)
    {
        using var playground = new Playground();

        var result = CommandLine.Run(playground.Folder, arguments);

        Assert.Contains(says, Assert.Single(result.ErrorLines));
        Assert.Equal(says == "nothing.onnx" ? 3 : 2, result.Exit);
    }

    [Fact]
    public void A_model_may_be_called_nearly_like_a_verb()
    {
        using var playground = new Playground();
        File.Move(playground.Input, playground.PathOf("inspec"));

        var result = CommandLine.Run(playground.Folder, "inspec", "out.onnx", "--calib", "calib", "--tolerance", "0.2");

        Assert.True(result.Exit == 0, result.ToString());
    }

    [Fact]
    public void The_default_verb_has_a_name_too()
    {
        using var playground = new Playground();

        var result = CommandLine.Run(playground.Folder, "compress", "in.onnx", "out.onnx", "--calib", "calib", "--tolerance", "0.2");

        Assert.True(result.Exit == 0 && File.Exists(playground.Output), result.ToString());
    }
}
