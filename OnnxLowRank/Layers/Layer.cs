using System.Numerics.Tensors;
using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Storage;
using static OnnxLowRank.Onnx.Proto.TensorProto.Types;

namespace OnnxLowRank.Layers;

/// <summary>How an operator applies its weight.</summary>
enum LayerKind
{
    /// <summary>MatMul(x, Wᵀ): channels are the last axis.</summary>
    MatMul,

    /// <summary>MatMul(W, x): channels are the last axis but one.</summary>
    LeftMatMul,

    /// <summary>Gemm: two-dimensional, with its own transpositions and bias.</summary>
    Gemm,

    /// <summary>Conv over 1, 2 or 3 spatial axes: channels are axis 1.</summary>
    Conv,

    /// <summary>ConvTranspose over 1, 2 or 3 spatial axes, in one group: channels are axis 1; a number of the output is W·x with those inputs and taps in x that reach it.</summary>
    ConvTranspose,

    /// <summary>Gather(Wᵀ, ids): rows of an embedding table (in, out), as if x had a one where the id points; channels are the last axis.</summary>
    Gather,

    /// <summary>Wᵀ itself, (…, out), in products in all: a constant that is read in some other way, such as positions or a mask. It is stored small and made floats of when the model is loaded.</summary>
    Constant,
}

/// <summary>A weight that nodes apply as y = W·x + b, W (out, in) per group; the unit that is factorized and quantized.</summary>
/// <param name="Name">Name of the (first) node, or of its output where nodes have no names.</param>
/// <param name="Kind">How the nodes apply the weight.</param>
/// <param name="Weight">The constant as the nodes read it.</param>
/// <param name="Uses">Every node that applies the weight, in graph order; they agree on everything but input, output and bias.</param>
/// <param name="Out">Output channels, all groups together.</param>
/// <param name="In">Inputs of one group: C_in/groups times the kernel's size for Conv, rows for Gather and Constant.</param>
/// <param name="Groups">Groups of a Conv; 1 otherwise.</param>
sealed record Layer(string Name, LayerKind Kind, Constant Weight, IReadOnlyList<LayerUse> Uses, int Out, int In, int Groups)
{
    /// <summary>The node the layer is reported as.</summary>
    public NodeProto Node => Uses[0].Node;

    public int OutPerGroup => Out / Groups;

    /// <summary>No element of W has a larger magnitude; NaN or infinity where one is not finite.</summary>
    public double LargestNumber => Weight.LargestMagnitude * Scales().Max(Math.Abs);

    /// <summary>Elements of the weight.</summary>
    public long Elements => (long)Out * In;

    /// <summary>Element type of x, W, b and y: float32, float16, bfloat16 or float64.</summary>
    public DataType Type => Weight.Type;

    /// <summary>Element type that floats are stored in: <see cref="Type"/>, or a narrower one that a Cast widens when the model is loaded.</summary>
    public DataType StoredType => Weight.StoredType;

    /// <summary>Whether the layer computes in float32, as kernels on integers do around their integers.</summary>
    public bool IsSingle => Type == DataType.Float;

    /// <summary>Bytes of a stored float.</summary>
    public int BytesPerFloat => TensorType.Bits(StoredType) / 8;

    /// <summary>Whether floats have 16 bits, so that numbers between factors should not be much larger or smaller than those around them.</summary>
    public bool IsHalf => BytesPerFloat == 2;

    /// <summary>Bytes of weight and biases as stored in the input model.</summary>
    public long Bytes => Weight.StoredBytes + Uses.Sum(use => (long)BytesPerFloat * (use.Bias?.Length ?? 0));

    public bool IsDepthwise => Kind == LayerKind.Conv && Groups > 1 && In == KernelSize;

    /// <summary>Whether a kernel goes over spatial axes, in whichever direction.</summary>
    public bool IsConvolution => Kind is LayerKind.Conv or LayerKind.ConvTranspose;

    /// <summary>Whether rows are read as they are, so that there is no input to round.</summary>
    public bool IsTable => Kind is LayerKind.Gather or LayerKind.Constant;

    /// <summary>Whether samples tell something about it: what a constant is is known.</summary>
    public bool IsMeasured => Kind != LayerKind.Constant;

    /// <summary>The shape of a convolution's kernel, empty for the other kinds.</summary>
    public long[] Kernel => IsConvolution ? Weight.Dims[2..] : [];

    /// <summary>Positions of a convolution's kernel; 1 for the other kinds.</summary>
    public int KernelSize => (int)Kernel.Aggregate(1L, (product, dim) => product * dim);

    /// <summary>The largest rank (per group) at which two factors hold fewer elements than the weight: r·(out + in) &lt; out·in.</summary>
    public int BreakEvenRank
    {
        get
        {
            long product = (long)OutPerGroup * In, sum = OutPerGroup + In;
            return (int)((product - 1) / sum);
        }
    }

    /// <summary>The largest number of input channels' combinations that a Conv's kernel can read without becoming larger, 0 where there is none.</summary>
    public int BreakEvenInputRank
    {
        get
        {
            if (Kind != LayerKind.Conv || Groups > 1 || KernelSize == 1)
            {
                return 0;
            }
            long channels = In / KernelSize;
            return (int)((Elements - 1) / (channels + (long)Out * KernelSize));
        }
    }

    /// <summary>Sides of a reordered kernel up to which its decomposition, which grows with their cube, is worth it.</summary>
    const int WidestSpatial = 2048;

    /// <summary>The largest number of columns and rows that a Conv's kernel over two axes can be cut into without becoming larger, 0 where there is none.</summary>
    public int BreakEvenSpatialRank
    {
        get
        {
            if (Kind != LayerKind.Conv || Groups > 1 || Kernel is not [> 1, > 1 and var width])
            {
                return 0;
            }
            long column = In / width, row = Out * width;
            return Math.Max(column, row) > WidestSpatial ? 0 : (int)Math.Min((Elements - 1) / (column + row), Math.Min(column, row));
        }
    }

    /// <summary>The rows of one group, (out/groups, in), of W as <see cref="ReadWeight"/> gives it; W itself where there is one group.</summary>
    public Matrix GroupOf(Matrix weight, int group) => Groups == 1
        ? weight
        : new(OutPerGroup, In, weight.Data.AsSpan(group * OutPerGroup * In, OutPerGroup * In).ToArray());

    /// <summary><see cref="ReadWeight"/> in floats, row-major.</summary>
    public float[] ReadFloats()
    {
        var weight = new float[Elements];
        int done = 0;
        foreach (var rows in ReadRows())
        {
            TensorPrimitives.ConvertTruncating<double, float>(rows.Data, weight.AsSpan(done));
            done += rows.Data.Length;
        }
        return weight;
    }

    /// <summary>
    /// W (out, in) in one piece, rows of group 0 first, with Gemm's alpha and a folded BatchNormalization's scale in it. Newly read
    /// at every call.
    /// </summary>
    public Matrix ReadWeight() => Read(Weight.Open(), Scales(), 0, Out, step: 1, isTransposed: false);

    /// <summary>The same in pieces of consecutive rows, one after the other: of a large layer, whose weight in double precision takes much memory.</summary>
    /// <param name="step">Only every so-many-th row.</param>
    public IEnumerable<Matrix> ReadRows(int step = 1) => InPieces(step, isTransposed: false);

    /// <summary>Wᵀ (in, out) in pieces of consecutive rows: of a table, its entries.</summary>
    /// <param name="step">Only every so-many-th row.</param>
    public IEnumerable<Matrix> ReadTransposed(int step = 1) => InPieces(step, isTransposed: true);

    IEnumerable<Matrix> InPieces(int step, bool isTransposed)
    {
        var stored = Weight.Open();
        double[] scales = Scales();
        var (height, width) = isTransposed ? (In, Out) : (Out, In);
        int rows = (height - 1) / step + 1, most = Matrix.RowsOfPiece(width);
        for (int first = 0; first < rows; first += most)
        {
            yield return Read(stored, scales, first * step, Math.Min(most, rows - first), step, isTransposed);
            if (first / most % CollectedEvery == CollectedEvery - 1)
            {
                Garbage.Collect((long)CollectedEvery * Matrix.ElementsOfPiece);
            }
        }
    }

    /// <summary>Pieces after which they, and what was made of them, are given back.</summary>
    const int CollectedEvery = 2;

    /// <summary>Side of the squares in which elements are read, as they may lie the other way round: a square of both fits the cache.</summary>
    const int Side = 64;

    /// <summary>Rows of W, or of Wᵀ: first, first + step, …</summary>
    Matrix Read(Kept stored, double[] scales, int first, int count, int step, bool isTransposed)
    {
        var piece = new Matrix(count, isTransposed ? Out : In);
        var from = stored.Span;
        for (int tile = 0; tile < piece.Cols; tile += Side)
        {
            int end = Math.Min(piece.Cols, tile + Side);
            for (int row = 0; row < count; row++)
            {
                var values = piece.Row(row);
                int at = first + row * step;
                for (int col = tile; col < end; col++)
                {
                    var (output, input) = isTransposed ? (col, at) : (at, col);
                    values[col] = scales[output] * from[IndexOf(output, input)];
                }
            }
        }
        return piece;
    }

    /// <summary>The operand, in the shape of <see cref="Weight"/>, with which the nodes compute another W (out, in): the reverse of <see cref="ReadWeight"/>.</summary>
    /// <remarks>Zero where the nodes multiply by zero: rows that no operand can give them.</remarks>
    public float[] OperandFor(Matrix weight)
    {
        var operand = new float[Elements];
        for (int o = 0; o < Out; o++)
        {
            double scale = ScaleOf(o);
            var row = weight.Row(o);
            for (int i = 0; i < In; i++)
            {
                operand[IndexOf(o, i)] = scale == 0 ? 0 : (float)(row[i] / scale);
            }
        }
        return operand;
    }

    /// <summary>Rows (rows, in) as a ConvTranspose reads them: (in's channels, rows, taps).</summary>
    public T[] Spread<T>(ReadOnlySpan<T> values, int rows)
    {
        int taps = KernelSize, channels = In / taps;
        var spread = new T[values.Length];
        for (int row = 0; row < rows; row++)
        {
            for (int channel = 0; channel < channels; channel++)
            {
                values.Slice(row * In + channel * taps, taps).CopyTo(spread.AsSpan((channel * rows + row) * taps));
            }
        }
        return spread;
    }

    /// <summary>Which input of the nodes is the weight.</summary>
    public int OperandIndex => Kind == LayerKind.LeftMatMul ? 0 : 1;

    double[] Scales() => [.. Enumerable.Range(0, Out).Select(ScaleOf)];

    /// <summary>What the nodes multiply an output channel of the stored weight by.</summary>
    double ScaleOf(int output) => Uses[0].Alpha * (Uses[0].OutScale?[output] ?? 1);

    /// <summary>Where the nodes' operand holds an element of W.</summary>
    int IndexOf(int output, int input) => Kind == LayerKind.ConvTranspose
        ? (input / KernelSize * Out + output) * KernelSize + input % KernelSize
        : Kind == LayerKind.MatMul || IsTable || (Kind == LayerKind.Gemm && !Uses[0].TransB) ? input * Out + output : output * In + input;
}

/// <summary>One application of a layer's weight.</summary>
/// <param name="Node">The MatMul, Gemm, Conv or Gather; for Constant one that stands for it and is not in the graph.</param>
/// <param name="Absorbed">Nodes behind it that belong to the layer: BatchNormalization, Add of a constant.</param>
/// <param name="Input">Name of x; of the ids for Gather.</param>
/// <param name="Output">Name of y, after the absorbed nodes.</param>
/// <param name="Bias">b, one number per output channel with everything absorbed in it, or null.</param>
/// <param name="OutScale">Factor per output channel that an absorbed BatchNormalization puts on the weight, or null.</param>
sealed record LayerUse(NodeProto Node, IReadOnlyList<NodeProto> Absorbed, string Input, string Output, double[]? Bias, double[]? OutScale)
{
    /// <summary>
    /// The value that leaves the layer in 8 bits when it is quantized: y, or what a Relu or Clip right behind it makes of y, which
    /// the grid's ends then do by themselves.
    /// </summary>
    public string Activation { get; init; } = Output;

    /// <summary>Gemm's factor on the product.</summary>
    public double Alpha { get; init; } = 1;

    public bool TransA { get; init; }

    public bool TransB { get; init; }

    /// <summary>Gemm's C where it is no bias per channel (not constant, or different per row): it stays an operand of the last node.</summary>
    public string? Addend { get; init; }

    /// <summary>Gemm's factor on <see cref="Addend"/>.</summary>
    public float Beta { get; init; } = 1;
}

/// <summary>A node with a weight that is not touched, and why, in words a user can act on.</summary>
/// <param name="Shape">Shape of the weight as stored, empty where it is not known.</param>
/// <param name="Bytes">Bytes of the weight as stored, 0 where it is not known.</param>
sealed record LeftAlone(string Name, string Op, long[] Shape, long Bytes, string Reason);
