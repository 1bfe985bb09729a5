using System.Numerics.Tensors;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Quantization;
using OnnxLowRank.Storage;

namespace OnnxLowRank.Factorization;

/// <summary>A dense weight in few bits.</summary>
/// <param name="Weight">Q ≈ W, (out, in); Wᵀ for Gather and Constant, as scales belong to rows.</param>
/// <param name="Gains">Per use, what the bias must gain so that the output's mean stays, (W − Q)·E[x]; null without a measured mean.</param>
/// <param name="Correction">What is added to Q, W ≈ Q + Up·Down; gains are then those that both together leave. Null for none.</param>
sealed record NBitDense(NBitBlocks Weight, double[]?[] Gains, Correction? Correction = null);

/// <summary>
/// Two thin weights in few bits, W ≈ Up·Down. With several slots (see <see cref="PatchMoment.Between"/>) Down reads one of them at a time, W ≈ Up·(Down ⊗ I).
/// </summary>
/// <param name="Down">(r, in/slots).</param>
/// <param name="Up">(out, r·slots).</param>
/// <param name="Gains">As for <see cref="NBitDense"/>.</param>
sealed record NBitPair(NBitBlocks Down, NBitBlocks Up, double[]?[] Gains);

/// <summary>
/// What one layer's weight becomes in few bits: made when first asked for. They are so coarse that rounding to the
/// nearest value is not enough; what the layer's inputs look like decides which errors matter.
/// </summary>
/// <remarks>
/// Errors are remembered, and dense weights, of which there are few; of pairs and of corrected weights only the one that was asked for
/// last, which the next plan likely asks for again.
/// </remarks>
/// <param name="decomposition">Null where no rank saves anything.</param>
/// <param name="moment">
/// Of the inputs about their mean; null where it is not known: then values are rounded to the nearest, and what that loses is
/// estimated as if inputs were unrelated.
/// </param>
/// <param name="means">Per use, E[x] (in), or null where it is not known.</param>
/// <param name="spill">Where weights wait; in memory when null.</param>
/// <param name="outputs">Which errors of the outputs matter (out, out), of a layer without groups; null where all count alike.</param>
sealed class NBitWeights(
    ILinearAlgebra algebra, Layer layer, Decomposition? decomposition, InputMoment? moment, double[]?[] means, Spill? spill = null, StoredMoment? outputs = null)
{
    /// <summary>Keeps Cholesky's pivots above rounding; far below any error that matters.</summary>
    const double Ridge = 1e-9;

    /// <summary>Ranks at which rounding is measured, a factor of this apart; between them its share changes slowly.</summary>
    const int RankRatio = 8;

    /// <summary>Stands for the dense weight where there may be a rank.</summary>
    const int NoRank = 0;

    /// <summary>Elements of a weight from which on what rounding loses is estimated from some of its rows, and of those rows.</summary>
    const long Large = 1 << 23, Sampled = 1 << 20;

    /// <summary>Elements of a weight up to which it is rounded in one piece where what its outputs do matters: rows get their part of the errors of all rows before them.</summary>
    const long Whole = 1 << 22;

    /// <summary>Of a weight that is corrected: one scale per row.</summary>
    static readonly NBitGrid s_rows = new(4);

    readonly Dictionary<Way, double> _errors = [];
    readonly Dictionary<NBitGrid, NBitDense> _dense = [];
    (Kept Seen, double Total)? _seen;
    (Way Way, NBitPair Pair)? _last;
    NBitDense? _corrected;
    double? _energy;

    /// <summary>Whether the numbers do not matter; see <see cref="WithAnyNumbers"/>.</summary>
    bool _hasAnyNumbers;

    /// <summary>What a weight becomes.</summary>
    /// <param name="Correction">Rank of what is added to a dense weight, or 0.</param>
    /// <param name="Slots">That a pair's Down reads one of at a time.</param>
    readonly record struct Way(int Rank, NBitGrid Grid, int Correction = 0, int Slots = 1);

    /// <summary>tr(W·G·Wᵀ): the output's variance, summed over channels, or over some of them.</summary>
    double Energy => _energy ??= Rows(Step).Sum(EnergyOf);

    /// <summary>Every so-many-th row tells what rounding loses.</summary>
    int Step => layer.Elements < Large ? 1 : (int)(layer.Elements / Sampled);

    /// <summary>W in pieces of rows that scales belong to.</summary>
    IEnumerable<Matrix> Rows(int step) => layer.IsTable ? layer.ReadTransposed(step) : Across == null ? layer.ReadRows(step) : [layer.ReadWeight()];

    /// <summary>What its outputs are rounded with, in one piece; null where each is by itself.</summary>
    StoredMoment? Across => layer.Elements <= Whole && !layer.IsTable ? outputs : null;

    /// <summary>Weights that take as much room and as long to compute with, and no time to find.</summary>
    public NBitWeights WithAnyNumbers() => new(algebra, layer, decomposition, moment, means, outputs: outputs) { _hasAnyNumbers = true };

    /// <summary>Of W·M, which inputs that look alike but have other means are multiplied with.</summary>
    /// <param name="layer">With the weight W·M.</param>
    /// <param name="decomposition">Behind M, too.</param>
    /// <param name="shifts">Per use, what E[x] is more than the mean of those inputs, as the kernel reads it (in).</param>
    public NBitWeights Behind(Layer layer, Decomposition? decomposition, double[][] shifts) =>
        new(algebra, layer, decomposition, moment, [.. means.Select((mean, use) => mean == null ? null : Decomposition.Less(mean, shifts[use]))], spill, outputs);

    /// <summary>Bytes of values and scales of the dense weight.</summary>
    public static double DenseBytes(Layer layer, NBitGrid grid) => layer.IsTable ? grid.Bytes(layer.In, layer.Out) : grid.Bytes(layer.Out, layer.In);

    /// <summary>Bytes of values and scales of a pair.</summary>
    public static double PairBytes(Layer layer, int rank, NBitGrid grid, int slots = 1) =>
        grid.Bytes(layer.Groups * rank, layer.In / slots) + grid.Bytes(layer.Out, rank * slots);

    public NBitDense Dense(NBitGrid grid)
    {
        if (!_dense.TryGetValue(grid, out var known))
        {
            var made = MakeDense(grid, step: 1);
            _dense[grid] = known = made with { Weight = Kept(made.Weight) };
        }
        return known;
    }

    /// <summary>Predicted <see cref="ErrorOfDense"/>: measured up to 4 bits, and in proportion beyond.</summary>
    public double DenseError(NBitGrid grid) => Noise(grid) * ErrorOfDense(Measured(grid));

    /// <summary>Share of the layer's output energy that the dense weight loses; of a large one, as far as some rows tell.</summary>
    internal double ErrorOfDense(NBitGrid grid) => Error(new(NoRank, grid), () => _ = Step == 1 ? Dense(grid) : MakeDense(grid, Step));

    /// <summary>The grid that tells what rounding to this one loses: finer ones lose a known part of that.</summary>
    static NBitGrid Measured(NBitGrid grid) => grid with { Bits = Math.Min(grid.Bits, 4) };

    /// <summary>
    /// That part, as of normally distributed numbers on evenly spaced values with the best step. Source: Max, "Quantizing for minimum
    /// distortion" (1960), table II.
    /// </summary>
    static double Noise(NBitGrid grid) => grid.Bits switch { 5 => 0.003495 / 0.01154, 6 => 0.001041 / 0.01154, _ => 1 };

    /// <summary>
    /// Ranks that a dense weight can be corrected at, with a scale per row; none where it is not known how inputs vary together, which
    /// says what a correction is worth most for, and for large weights, which take as long to correct as to round.
    /// </summary>
    public IEnumerable<int> CorrectionRanks => moment is { IsExact: true } && decomposition != null && layer.Kind is LayerKind.MatMul or LayerKind.Gemm && Step == 1
        ? Correction.Ranks(layer.Out, layer.In).Where(rank => rank <= decomposition.MaxRank)
        : [];

    /// <summary>A dense weight, one scale per row, and what is added to it.</summary>
    /// <param name="rank">Of <see cref="CorrectionRanks"/>.</param>
    public NBitDense Corrected(int rank)
    {
        if (_corrected?.Correction!.Rank != rank)
        {
            _corrected = null;
            var made = MakeCorrected(rank);
            _corrected = made with { Weight = Kept(made.Weight) };
        }
        return _corrected;
    }

    /// <summary>Share of the layer's output energy that a corrected weight loses.</summary>
    public double CorrectedError(int rank) => Error(new(NoRank, s_rows, rank), () => _ = Corrected(rank));

    /// <summary>The same of a pair, by cutting and rounding.</summary>
    internal double ErrorOfPair(int rank, NBitGrid grid, int slots = 1) =>
        Error(new(rank, grid, Slots: slots), () => _ = Step == 1 || slots > 1 ? Pair(rank, grid, slots) : MakePair(rank, grid, Step));

    /// <param name="make">Finds the error on the way.</param>
    double Error(Way way, Action make)
    {
        if (!_errors.ContainsKey(way))
        {
            make();
        }
        return _errors[way];
    }

    /// <summary>The same weight, waiting where it should.</summary>
    NBitBlocks Kept(NBitBlocks weight) => spill == null ? weight : weight with { Packed = spill.Keep(weight.Packed) };

    NBitDense MakeDense(NBitGrid grid, int step)
    {
        if (_hasAnyNumbers)
        {
            var (rows, cols) = layer.IsTable ? (layer.In, layer.Out) : (layer.Out, layer.In);
            return new(NBit.Any(rows, cols, grid.For(cols)), AnyGains);
        }
        var (feedback, across) = (moment?.Feedback(algebra), Across?.Feedback(algebra));
        var (rounded, gains) = ByRows(new(NoRank, grid), step, null, rows => AsStored(Rounded(feedback, rows, grid.For(rows.Cols), across)));
        return new(rounded, gains);
    }

    double[]?[] AnyGains => [.. means.Select(mean => mean == null ? null : new double[layer.Out])];

    /// <summary>
    /// A weight made a few rows at a time, as a large one in double precision would take several times its memory. What a large one
    /// loses is only told by some of its rows: to compute that takes as long as to make it.
    /// </summary>
    /// <param name="step">Only every so-many-th row, which is enough for the error.</param>
    /// <param name="down">What the made rows multiply, in a pair.</param>
    /// <param name="make">From rows of W to what is stored of them, and to what they become.</param>
    (NBitBlocks Rounded, double[]?[] Gains) ByRows(Way way, int step, Matrix? down, Func<Matrix, (NBitBlocks Stored, Matrix Value)> make)
    {
        var stored = new List<NBitBlocks>();
        Matrix?[] inputs = [.. means.Select(mean => mean == null ? null : new Matrix(mean.Length, 1, mean))];
        Matrix?[] inner = [.. inputs.Select(input => input == null || down == null ? input : algebra.Multiply(down, input))];
        List<double>?[] gains = [.. means.Select(mean => mean == null ? null : new List<double>())];
        double energy = 0;
        foreach (var rows in Rows(step))
        {
            var (made, value) = make(rows);
            stored.Add(made);
            for (int use = 0; use < means.Length; use++)
            {
                gains[use]?.AddRange(Difference(algebra.Multiply(rows, inputs[use]!), algebra.Multiply(value, inner[use]!)).Data);
            }
            if (step == Step)
            {
                energy += EnergyOf(Difference(rows, down == null ? value : algebra.Multiply(value, down)));
            }
        }
        if (step == Step)
        {
            _errors[way] = Energy > 0 ? energy / Energy : 0;
        }
        return (NBitBlocks.Joined(stored), [.. gains.Select(gain => gain?.ToArray())]);
    }

    static (NBitBlocks Stored, Matrix Value) AsStored(NBitBlocks rounded) => (rounded, rounded.Dequantize());

    /// <summary>
    /// Down is the layer's most important directions, rounded to 8 bits. Beside it W − Up·Down is rounded, Up being the best for W, with
    /// regard only to errors that no Up can make good; then Up is solved again for what rounding left, so that its own rounding to 8 bits is all that it loses.
    /// </summary>
    NBitDense MakeCorrected(int rank)
    {
        if (_hasAnyNumbers)
        {
            var nothing = new Correction(Int8.PerRow(new float[layer.Out * rank], layer.Out), new sbyte[rank * layer.In], new float[layer.Out]);
            return new(NBit.Any(layer.Out, layer.In, s_rows.For(layer.In)), AnyGains, nothing);
        }
        sbyte[] values = Int8.PerRow(decomposition!.CutDown(rank, decomposition.Scales(rank, balanced: false)), rank).Values;
        var down = Correction.DownOf(values, rank);
        var solved = Solved(algebra, moment!, down, out var gram);
        var feedback = moment!.FeedbackBeside(algebra, solved, gram);
        List<Int8Rows> parts = [];
        var largest = new List<float>();
        var (rounded, gains) = ByRows(new(NoRank, s_rows, rank), step: 1, null, rows =>
        {
            Matrix Fitted(Matrix target) => algebra.Multiply(target, solved, transposeRight: true);
            var stored = NBit.WithFeedback(algebra, Difference(rows, algebra.Multiply(Fitted(rows), down)), feedback, s_rows.For(rows.Cols));
            var value = stored.Dequantize();
            var up = Int8.PerRow(Array.ConvertAll(Fitted(Difference(rows, value.Copy())).Data, number => (float)number), rows.Rows);
            value = Matrix.Sum([value, algebra.Multiply(up.Dequantize(), down)]);
            parts.Add(up);
            largest.AddRange(Enumerable.Range(0, rows.Rows).Select(i => (float)Math.Abs(TensorPrimitives.MaxMagnitude<double>(value.Row(i)))));
            return (stored, value);
        });
        Int8Rows joined = new([.. parts.SelectMany(part => part.Values)], [.. parts.SelectMany(part => part.Scales)]);
        return new(rounded, gains, new(joined, values, [.. largest]));
    }

    /// <summary>
    /// Down is rounded first, then Up: solved again for the Down that is left and rounded with error feedback where the moment is
    /// exact, otherwise to the nearest.
    /// </summary>
    /// <param name="slots">1, or a number for which <see cref="HasPairs"/> is true.</param>
    public NBitPair Pair(int rank, NBitGrid grid, int slots = 1)
    {
        var way = new Way(rank, grid, Slots: slots);
        if (_last is { } last && last.Way == way)
        {
            return last.Pair;
        }
        _last = null;
        var made = slots == 1 ? MakePair(rank, grid, step: 1) : MakeFittedPair(rank, grid, slots);
        made = made with { Down = Kept(made.Down), Up = Kept(made.Up) };
        _last = (way, made);
        return made;
    }

    /// <summary>Whether a Conv may be cut into two that are both in few bits, the second of which goes over so many slots: what it reads must be known.</summary>
    public bool HasPairs(int slots) => moment is { IsExact: true } && (slots == layer.KernelSize ? decomposition?.Tucker?.IsFitted : decomposition?.Spatial?.IsFitted) == true;

    /// <summary>Down is rounded first; Up is the best beside the Down that is left, rounded with error feedback.</summary>
    NBitPair MakeFittedPair(int rank, NBitGrid grid, int slots)
    {
        int inner = layer.In / slots;
        if (_hasAnyNumbers)
        {
            return new(NBit.Any(rank, inner, grid.For(inner)), NBit.Any(layer.Out, rank * slots, grid.For(rank * slots)), AnyGains);
        }
        var patches = new PatchMoment(moment!.Read(), []);
        var cut = slots == layer.KernelSize ? decomposition!.Tucker!.CutEntry(rank, balanced: true) : decomposition!.Spatial!.CutColumns(rank, balanced: true);
        var down = NBit.WithFeedback(algebra, Matrix.LeftOf(cut.Weight, inner, inner), new ErrorFeedback(algebra, patches.Within(slots)), grid.For(inner));
        var rounded = down.Dequantize();
        var gram = patches.Through(algebra, rounded, slots);
        gram.AddToDiagonal(Ridge * gram.Trace() / gram.Rows + double.Epsilon);
        var weight = layer.ReadWeight();
        var (kept, total) = _seen ??= Seen(weight, patches);
        var image = PatchMoment.Project(algebra, Matrix.LeftOf(kept.Span, layer.In, layer.In), rounded, slots);
        var up = NBit.WithFeedback(algebra, algebra.Solve(gram, image.Transposed()).Transposed(), new ErrorFeedback(algebra, gram), grid.For(rank * slots), Across?.Feedback(algebra));
        var made = up.Dequantize();
        double lost = total - 2 * TensorPrimitives.Dot<double>(image.Data, made.Data) + TensorPrimitives.Dot<double>(algebra.Multiply(made, gram).Data, made.Data);
        _errors[new(rank, grid, Slots: slots)] = total > 0 ? Math.Max(0, lost) / total : 0;
        return new(down, up, [.. means.Select(mean => mean == null ? null : Difference(
            algebra.Multiply(weight, new Matrix(mean.Length, 1, mean)),
            algebra.Multiply(made, PatchMoment.Project(algebra, new(1, mean.Length, mean), rounded, slots), transposeRight: true)).Data)]);
    }

    /// <summary>W·C (out, in), which is the same for all pairs, and the output's energy.</summary>
    (Kept Seen, double Total) Seen(Matrix weight, PatchMoment patches)
    {
        var seen = algebra.Multiply(weight, patches.Covariance);
        return ((spill ?? Spill.None).Keep(seen.ToFloats()), TensorPrimitives.Dot<double>(seen.Data, weight.Data));
    }

    NBitPair MakePair(int rank, NBitGrid grid, int step)
    {
        if (_hasAnyNumbers)
        {
            return new(
                NBit.Any(layer.Groups * rank, layer.In, grid.For(layer.In)), NBit.Any(layer.Out, rank, grid.For(rank)),
                moment is { IsExact: true } ? AnyGains : new double[means.Length][]);
        }
        double[] scales = decomposition!.Scales(rank, balanced: true);
        var wanted = Matrix.LeftOf(decomposition.CutDown(rank, scales), layer.In, layer.In);
        var down = Rounded(moment?.Feedback(algebra), wanted, grid.For(layer.In));
        var rounded = down.Dequantize();
        if (moment is not { IsExact: true })
        {
            var upper = Matrix.LeftOf(decomposition.CutUp(rank, scales), rank, rank);
            var nearest = NBit.Nearest(upper, grid.For(rank));
            double noise = RoundingNoise(scales, wanted, Difference(wanted, rounded), Difference(upper, nearest.Dequantize()));
            _errors[new(rank, grid)] = decomposition.Error(rank) + (decomposition.Energy > 0 ? noise / decomposition.Energy : 0);
            return new(down, nearest, new double[means.Length][]);
        }
        var solved = Solved(algebra, moment, rounded, out var gram);
        var (feedback, across) = (new ErrorFeedback(algebra, gram), Across?.Feedback(algebra));
        var (up, gains) = ByRows(
            new(rank, grid), step, rounded,
            rows => AsStored(NBit.WithFeedback(algebra, algebra.Multiply(rows, solved, transposeRight: true), feedback, grid.For(rank), across)));
        return new(down, up, gains);
    }

    NBitBlocks Rounded(ErrorFeedback? feedback, Matrix matrix, NBitGrid grid, ErrorFeedback? across = null) =>
        feedback == null ? NBit.Nearest(matrix, grid) : moment!.Rounded(algebra, feedback, matrix, grid, across);

    /// <summary>
    /// Output energy that rounding both factors costs. Number k between them, in its orthonormal form, carries the energy s^-4 of
    /// <see cref="Decomposition.Scales"/>'s scale s; a row of Down loses of it the share that its weights lose.
    /// </summary>
    double RoundingNoise(double[] scales, Matrix down, Matrix lostDown, Matrix lostUp)
    {
        double noise = 0;
        Matrix seen = Seen(down), seenLost = Seen(lostDown);
        for (int k = 0; k < down.Rows; k++)
        {
            double all = TensorPrimitives.Dot<double>(seen.Row(k), down.Row(k)), lost = TensorPrimitives.Dot<double>(seenLost.Row(k), lostDown.Row(k));
            noise += all > 0 ? Math.Pow(scales[k], -4) * lost / all : 0;
        }
        for (int o = 0; o < lostUp.Rows; o++)
        {
            for (int k = 0; k < lostUp.Cols; k++)
            {
                noise += Math.Pow(lostUp[o, k] / scales[o / layer.OutPerGroup * lostUp.Cols + k], 2);
            }
        }
        return noise;
    }

    /// <summary>P (r, in), so that W·Pᵀ is the Up that loses least beside a given Down: (Down·G·Downᵀ)⁻¹·(Down·G).</summary>
    /// <param name="gram">Down·G·Downᵀ, the covariance of what is between the factors: it says which errors of Up matter.</param>
    public static Matrix Solved(ILinearAlgebra algebra, InputMoment moment, Matrix down, out Matrix gram)
    {
        var seen = moment.Times(algebra, down);
        gram = algebra.Multiply(seen, down, transposeRight: true);
        gram.AddToDiagonal(Ridge * gram.Trace() / gram.Rows + double.Epsilon);
        return algebra.Solve(gram, seen);
    }

    /// <summary>Predicted part of <see cref="ErrorOfPair"/> that is not the cut's: as measured at a few ranks in up to 4 bits, and in proportion beyond.</summary>
    public double PairRounding(int rank, NBitGrid grid, int slots = 1)
    {
        int below = 1;
        while (below * RankRatio <= rank)
        {
            below *= RankRatio;
        }
        int above = Math.Min(below * RankRatio, slots == 1 ? decomposition!.MaxRank : slots == layer.KernelSize ? decomposition!.Tucker!.MaxInputRank : decomposition!.Spatial!.MaxRank);
        double share = above > below ? Math.Log((double)rank / below) / Math.Log((double)above / below) : 0;
        return Noise(grid) * ((1 - share) * Rounding(below, Measured(grid), slots) + share * Rounding(above, Measured(grid), slots));
    }

    double Rounding(int rank, NBitGrid grid, int slots) => Math.Max(0, ErrorOfPair(rank, grid, slots) - CutError(rank, slots));

    double CutError(int rank, int slots) =>
        slots == 1 ? decomposition!.Error(rank) : slots == layer.KernelSize ? decomposition!.InputError(rank) : decomposition!.SpatialError(rank);

    double EnergyOf(Matrix matrix) => TensorPrimitives.Dot<double>(Seen(matrix).Data, matrix.Data);

    /// <summary>M·G, as far as G is known.</summary>
    Matrix Seen(Matrix matrix) => moment == null ? matrix : moment.Times(algebra, matrix);

    static Matrix Difference(Matrix left, Matrix right)
    {
        TensorPrimitives.Subtract<double>(left.Data, right.Data, right.Data);
        return right;
    }
}
