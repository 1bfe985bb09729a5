using System.Globalization;

namespace MakeDigits;

/// <summary>A place in a skeleton (0..60 across, 0..100 down) or in the picture (pixels).</summary>
readonly record struct Point(double X, double Y)
{
    public static Point operator +(Point a, Point b) => new(a.X + b.X, a.Y + b.Y);

    public static Point operator -(Point a, Point b) => new(a.X - b.X, a.Y - b.Y);

    public static Point operator *(double scale, Point a) => new(scale * a.X, scale * a.Y);
}

/// <summary>
/// How each digit is written: a few ways per digit, a way is one or more strokes, a stroke is the points the pen goes through.
/// "x,y" is passed in a curve, "x,y!" is a corner; strokes are separated by ";".
/// </summary>
static class Skeletons
{
    static readonly Point[][][][] Ways =
    [
        [
            Parse("32,1 8,14 0,50 8,86 30,100 52,86 60,50 52,15 28,0"),
            Parse("36,0 18,8 10,50 16,90 32,100 46,88 50,48 44,10 30,2"),
            Parse("46,8 26,0 4,22 0,64 16,98 42,94 58,66 56,26 36,4 26,6"),
        ],
        [
            Parse("30,0! 30,100!"),
            Parse("12,22! 34,0! 34,100!"),
            Parse("14,20! 34,0! 34,100!; 10,100! 56,100!"),
        ],
        [
            Parse("4,22 14,4 34,0 54,14 52,36 30,64 2,100! 60,100!"),
            Parse("6,18 22,1 48,6 54,28 36,62 10,94 4,84 16,84 40,98 60,94"),
            Parse("2,14 26,0 52,10 50,34 6,98! 32,92 58,98"),
        ],
        [
            Parse("4,12 24,0 48,6 54,24 44,42 22,48! 46,54 60,74 48,94 24,100 0,88"),
            Parse("4,0! 54,0! 26,40! 50,48 60,70 46,94 22,100 0,90"),
            Parse("6,8 30,0 50,14 44,36 26,44 22,50 36,50 56,64 54,88 30,100 4,94"),
        ],
        [
            Parse("12,0! 4,58! 60,58!; 46,24! 44,100!"),
            Parse("60,68! 0,68! 42,0! 42,100!"),
            Parse("8,2 4,34 14,52 34,52 50,42!; 54,0! 48,100!"),
        ],
        [
            Parse("54,0! 12,0! 6,44! 30,38 54,50 58,72 42,96 20,100 0,90"),
            Parse("12,2! 8,42! 36,38 58,56 56,82 32,100 2,92; 10,2! 58,0!"),
            Parse("54,4 30,1 12,10 10,32 32,44 54,58 54,84 28,100 2,90"),
        ],
        [
            Parse("46,0 22,22 4,56 4,82 26,100 50,92 58,72 46,54 26,52 6,70"),
            Parse("36,0 14,34 4,72 16,98 42,98 54,78 42,62 20,64 6,80"),
            Parse("54,8 36,0 12,20 2,60 14,96 40,98 58,78 46,54 20,54 4,70"),
        ],
        [
            Parse("0,0! 60,0! 22,100!"),
            Parse("0,2! 58,0! 24,100!; 14,50! 54,48!"),
            Parse("2,16! 4,2! 58,2! 36,48 26,100"),
        ],
        [
            Parse("54,14 30,0 8,14 14,36 30,47 50,62 58,82 30,100 2,82 12,60 30,47 48,34 54,10"),
            Parse("32,0 8,10 8,36 30,46 52,36 52,10 28,0; 30,46 4,58 2,86 30,100 58,86 56,58 30,46"),
        ],
        [
            Parse("54,20 34,0 8,10 4,36 24,50 46,42 55,16! 52,60 40,100"),
            Parse("54,26 36,2 10,10 6,38 26,52 50,38 56,4! 56,100!"),
            Parse("54,22 32,0 6,12 6,40 30,50 52,30 55,14! 58,70 40,98 8,92"),
        ],
    ];

    /// <summary>The strokes of one way to write a digit.</summary>
    public static Point[][] Pick(int digit, Rng rng) => Ways[digit][rng.Below(Ways[digit].Length)];

    static Point[][] Parse(string way) =>
        [.. way.Split(';').Select(stroke => stroke.Split(' ', StringSplitOptions.RemoveEmptyEntries).SelectMany(Points).ToArray())];

    /// <summary>A corner is its point twice: the Catmull-Rom curve through it then turns on the spot.</summary>
    static Point[] Points(string text)
    {
        var xy = text.TrimEnd('!').Split(',');
        var point = new Point(int.Parse(xy[0], CultureInfo.InvariantCulture), int.Parse(xy[1], CultureInfo.InvariantCulture));
        return text.EndsWith('!') ? [point, point] : [point];
    }
}
