using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Text.RegularExpressions;

namespace OnnxLowRank.Cli;

/// <summary>Kinds of options that refuse what they cannot read in words of their own.</summary>
static class CommandOptions
{
    public static Argument<string> Model(string name = "IN.onnx") => new(name) { Description = "The trained model; it is never changed." };

    /// <summary>What samples may be.</summary>
    const string Samples = "a folder with one NAME.npy per model input, an .npz, an ONNX test-data folder, or one .npy";

    public static Option<string> Calib() => new("--calib") { Description = $"Samples: {Samples}.", HelpName = "PATH", Required = true };

    /// <param name="purpose">What samples are good for, in words.</param>
    /// <param name="otherwise">What is done without, for the sentence's end.</param>
    public static Option<string?> OptionalCalib(string purpose, string otherwise = "") => new("--calib") { Description = $"{purpose}: {Samples}{otherwise}.", HelpName = "PATH" };

    public static Option<string?> Labels() => new("--labels") { Description = "A .npy of integer labels, one per sample or token.", HelpName = "FILE" };

    public static Option<string?> Json() => new("--json") { Description = "Write everything, FILE.json, or - for standard output.", HelpName = "FILE" };

    public static Option<string?> Device() => new("--device") { Description = "Where models run: auto, cpu, cuda or cuda:N [auto].", HelpName = "D" };

    public static Option<bool> ConstantInputs() => new("--constant-inputs") { Description = "Initializers that are also graph inputs are constants." };

    public static Option<int?> Seed() => Number<int>("--seed", "Seed of everything random [0].", "N", "whole number");

    public static Option<int?> Threads() => Number<int>("--threads", "Threads [all cores].", "N", "whole number");

    public static Option<int?> Batch() => Number<int>("--batch", "Samples per run [by memory].", "N", "whole number");

    public static Option<Target?> Memory(string description) =>
        Limit("--memory", description, text => Target.Size(text) is { IsFraction: false } size ? size : null, "a size such as 4GiB");

    public static Option<bool> NoTiming() => new("--no-timing") { Description = "Plan by multiply-adds and bytes instead of times measured on this machine." };

    public static Option<bool> Verbose() => new("--verbose", "-v") { Description = "Print the trace of an error." };

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
        CustomParser = result => Items<T>(result, item => choices.TryGetValue(item, out var value) ? [value] : null,
            item => $"{name} '{item}' is not one of {string.Join(", ", choices.Keys)}")?.Distinct().ToArray(),
    };

    /// <summary>Numbers with commas between them; a..b and a..b:step stand for all between.</summary>
    public static Option<double[]?> Values(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "X,X",
        CustomParser = result => Items(result, ValueRange.Parse,
            _ => $"{name} '{result.Tokens[0].Value}' is not a list such as 1,2,4 or a range such as 1..500:10 of at most {ValueRange.Most} numbers")?.Distinct().ToArray(),
    };

    /// <summary>Whole numbers behind one option, with commas between them: 1,32.</summary>
    public static Option<int[]?> Numbers(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "N,N",
        CustomParser = result => Items<int>(result, item => int.TryParse(item, NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? [number] : null,
            _ => $"{name} '{result.Tokens[0].Value}' is not a list of whole numbers such as 1,32")?.ToArray(),
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

    /// <summary>How many rows to show.</summary>
    /// <exception cref="OptionException">Fewer than one.</exception>
    public static int Top(ParseResult parsed, Option<int?> option, int otherwise)
    {
        int top = parsed.GetValue(option) ?? otherwise;
        return top >= 1 ? top : throw new OptionException($"{option.Name} {top} is not ≥ 1");
    }

    /// <summary>The command line, without the program's name.</summary>
    public static IReadOnlyList<string> Typed(ParseResult parsed) => [.. parsed.Tokens.Select(token => token.Value)];

    static T? Refuse<T>(ArgumentResult result, string why) where T : struct
    {
        result.AddError(why);
        return null;
    }

    /// <summary>What a list with commas between its items stands for; null, and an error, where one of them stands for nothing.</summary>
    /// <param name="parse">The values of an item.</param>
    /// <param name="why">What is wrong with an item, in words.</param>
    static List<T>? Items<T>(ArgumentResult result, Func<string, IEnumerable<T>?> parse, Func<string, string> why)
    {
        var values = new List<T>();
        foreach (string item in result.Tokens[0].Value.Split(','))
        {
            if (parse(item) is not { } some)
            {
                result.AddError(why(item));
                return null;
            }
            values.AddRange(some);
        }
        return values;
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
