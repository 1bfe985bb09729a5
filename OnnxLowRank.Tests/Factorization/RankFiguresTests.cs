using OnnxLowRank.Factorization;

namespace OnnxLowRank.Tests.Factorization;

public class RankFiguresTests
{
    static Spectrum[] Groups(params double[][] energies) => [.. energies.Select(group => new Spectrum(group, group.Sum()))];

    [Fact]
    public void Figures_of_two_singular_values_are_those_by_hand()
    {
        var figures = RankFigures.Of(Groups([9, 1])); // σ = 3 and 1

        Assert.Equal(Math.Exp(-(0.75 * Math.Log(0.75)) - 0.25 * Math.Log(0.25)), figures.Effective, 1e-12);
        Assert.Equal(10.0 / 9, figures.Stable, 1e-12);
        Assert.Equal((1, 2, 2, 2), (figures.At90, figures.At99, figures.At999, figures.At9999));
    }

    [Fact]
    public void Equal_values_are_all_used_and_zeros_are_not()
    {
        Assert.Equal(new(4, 4, 4, 4, 4, 4), RankFigures.Of(Groups([2, 2, 2, 2, 0, 0])) with { Effective = 4 });
        Assert.Equal(4, RankFigures.Of(Groups([2, 2, 2, 2, 0, 0])).Effective, 1e-12);
        Assert.Equal(new(0, 0, 0, 0, 0, 0), RankFigures.Of(Groups([0, 0, 0])));
    }

    [Fact]
    public void Groups_are_cut_at_one_rank_each_and_their_losses_add_up()
    {
        var groups = Groups([8, 1, 0], [6, 3, 2]);

        Assert.Equal([1, 6 / 20.0, 2 / 20.0, 0], Enumerable.Range(0, 4).Select(rank => Math.Round(RankFigures.Lost(groups, rank), 12)));
        Assert.Equal(2, RankFigures.RankKeeping(groups, 0.9));
        Assert.Equal(3, RankFigures.RankKeeping(groups, 0.91));
        Assert.Equal(20.0 / 8, RankFigures.Of(groups).Stable, 1e-12);
    }
}
