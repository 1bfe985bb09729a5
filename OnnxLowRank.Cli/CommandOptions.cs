using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Text.RegularExpressions;

namespace OnnxLowRank.Cli;

/// <summary>Kinds of options that refuse what they cannot read in words of their own.</summary>
static class CommandOptions
{
    public static Argument<string> Model(string name = "IN.onnx") => new(name) { Description = "The trained model; it is never changed." };

    public static Option<string?> Labels() => new("--labels") { Description = "A .npy of integer labels, one per sample or token.", HelpName = "FILE" };

    public static Option<string?> Json() => new("--json") { Description = "Write everything, FILE.json, or - for standard output.", HelpName = "FILE" };

    public static Option<string?> Device() => new("--device") { Description = "Where models run: auto, cpu, cuda or cuda:N [auto].", HelpName = "D" };

    public static Option<bool> ConstantInputs() => new("--constant-inputs") { Description = "Initializers that are also graph inputs are constants." };

    public static Option<int?> Seed() => Number<int>("--seed", "Seed of everything random [0].", "N", "whole number");

    public static Option<int?> Threads() => Number<int>("--threads", "Threads [all cores].", "N", "whole number");

    public static Option<int?> Batch() => Number<int>("--batch", "Samples per run [by memory].", "N", "whole number");

    public static Option<bool> Quiet() => new("--quiet", "-q") { Description = "Print errors only." };

    public static Option<bool> NoColor() => new("--no-color") { Description = "No colours; NO_COLOR is honoured too." };

    public static Dictionary<string, T> Names<T>() where T : struct, Enum =>
        Enum.GetValues<T>().ToDictionary(value => value.ToString().ToLowerInvariant());

    public static Option<T?> Choice<T>(string name, string description, string otherwise, Dictionary<string, T> choices) where T : struct => new(name)
    {
        Description = $"{description}: {string.Join(", ", choices.Keys)} [{otherwise}].",
        HelpName = name[2..3].ToUpperInvariant(),
        CustomParser = result => choices.TryGetValue(result.Tokens[0].Value, out var value)
            ? value
            : Refuse<T>(result, $"{name} '{result.Tokens[0].Value}' is not one of {string.Join(", ", choices.Keys)}{Guess(result.Tokens[0].Value, choices.Keys)}"),
    };

    static string Guess(string typed, IEnumerable<string> names) => Spelling.Nearest(typed, names) is { } meant ? $"; did you mean {meant}?" : "";

    /// <param name="kind">What the value must be, in words.</param>
    public static Option<T?> Number<T>(string name, string description, string helpName, string kind) where T : struct, ISpanParsable<T> => new(name)
    {
        Description = description,
        HelpName = helpName,
        // A comma would be read as a separator of thousands: 0,01 as 1.
        CustomParser = result => !result.Tokens[0].Value.Contains(',') && T.TryParse(result.Tokens[0].Value, CultureInfo.InvariantCulture, out var value)
            ? value
            : Refuse<T>(result, $"{name} '{result.Tokens[0].Value}' is not a {kind}"),
    };

    public static Option<T[]?> Choices<T>(string name, string description, string otherwise, Dictionary<string, T> choices) where T : struct => new(name)
    {
        Description = $"{description}, with commas between several: {string.Join(", ", choices.Keys)} [{otherwise}].",
        HelpName = name[2..3].ToUpperInvariant(),
        CustomParser = result =>
        {
            string[] names = result.Tokens[0].Value.Split(',');
            if (Array.Find(names, item => !choices.ContainsKey(item)) is { } unknown)
            {
                result.AddError($"{name} '{unknown}' is not one of {string.Join(", ", choices.Keys)}");
                return null;
            }
            return [.. names.Select(item => choices[item]).Distinct()];
        },
    };

    /// <summary>Numbers with commas between them; a..b and a..b:step stand for all between.</summary>
    public static Option<double[]?> Values(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "X,X",
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            var values = new List<double>();
            foreach (string part in text.Split(','))
            {
                if (ValueRange.Parse(part) is not { } range)
                {
                    result.AddError($"{name} '{text}' is not a list such as 1,2,4 or a range such as 1..500:10 of at most {ValueRange.Most} numbers");
                    return null;
                }
                values.AddRange(range);
            }
            return [.. values.Distinct()];
        },
    };

    /// <summary>Whole numbers behind one option, with commas between them: 1,32.</summary>
    public static Option<int[]?> Numbers(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "N,N",
        CustomParser = result =>
        {
            string[] parts = result.Tokens[0].Value.Split(',');
            int[] numbers = [.. parts.Select(part => int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : -1)];
            if (numbers.Contains(-1))
            {
                result.AddError($"{name} '{result.Tokens[0].Value}' is not a list of whole numbers such as 1,32");
                return null;
            }
            return numbers;
        },
    };

    public static Option<Target?> Limit(string name, string description, Func<string, Target?> parse, string kind) => new(name)
    {
        Description = description,
        HelpName = "X",
        CustomParser = result =>
        {
            var target = parse(result.Tokens[0].Value);
            if (target == null)
            {
                result.AddError($"{name} '{result.Tokens[0].Value}' is not {kind}");
            }
            return target;
        },
    };

    /// <summary>A list that was given: the parser makes an empty one of what was not.</summary>
    public static T[]? Given<T>(ParseResult parsed, Option<T[]?> option) => parsed.GetValue(option) is { Length: > 0 } values ? values : null;

    static T? Refuse<T>(ArgumentResult result, string why) where T : struct
    {
        result.AddError(why);
        return null;
    }

    public static Option<Regex?> Pattern(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "REGEX",
        CustomParser = result =>
        {
            try
            {
                return new Regex(result.Tokens[0].Value, RegexOptions.CultureInvariant, TimeSpan.FromSeconds(1));
            }
            catch (ArgumentException e)
            {
                result.AddError($"{name}: {e.Message}");
                return null;
            }
        },
    };
}
