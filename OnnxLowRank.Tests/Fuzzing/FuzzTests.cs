namespace OnnxLowRank.Tests.Fuzzing;

/// <summary>Numbered cases of hostile input for everything that reads files; <see cref="FuzzCases"/> says how to run more, or one again.</summary>
public class FuzzTests
{
    /// <summary>Per target: more than 100,000 in all.</summary>
    const int Cases = 15_000;

    public static TheoryData<string> Targets => [.. FuzzTarget.All.Keys];

    [Theory, MemberData(nameof(Targets))]
    public void Every_seed_is_read(string name)
    {
        using var folder = new Samples.TempFolder();
        var target = FuzzTarget.All[name];
        for (int number = 0; number < FuzzCases.Seeds; number++)
        {
            var seed = FuzzCases.SeedOf(target, number);
            seed.WriteTo(folder.Path);
            try
            {
                target.Read(folder.Path);
            }
            catch (Exception e)
            {
                Assert.Fail($"{name} seed {number}: {e}");
            }
            seed.DeleteFrom(folder.Path);
        }
    }

    [Theory, MemberData(nameof(Targets))]
    public void A_case_is_its_number(string name)
    {
        var target = FuzzTarget.All[name];
        var seeds = FuzzCases.SeedsOf(target);

        byte[][] once = [.. Enumerable.Range(0, 100).Select(number => FuzzCases.InputOf(target, number, seeds).Main.Content)];
        byte[][] again = [.. Enumerable.Range(0, 100).Reverse().Select(number => FuzzCases.InputOf(target, number, FuzzCases.SeedsOf(target)).Main.Content).Reverse()];

        Assert.Equal(once, again);
        Assert.True(once.Select(Convert.ToHexString).Distinct().Count() > 90, "cases repeat each other");
    }

    [Theory, MemberData(nameof(Targets))]
    public void Every_case_is_read_or_refused(string name)
    {
        int count = FuzzCases.Count(Cases);

        var (read, refused) = FuzzCases.Run(FuzzTarget.All[name], FuzzCases.First, count);

        TestContext.Current.SendDiagnosticMessage($"{name}: {read} read, {refused} refused");
        Assert.Equal(count, read + refused);
        Assert.True(count < 1000 || Math.Min(read, refused) >= count / 50, $"{name}: {read} read, {refused} refused: the mutations miss one side");
    }
}
