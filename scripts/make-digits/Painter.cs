namespace MakeDigits;

/// <summary>
/// Draws one digit, differently each time. Only + − × ÷ √ in a fixed order, no sine or exponential, so that the pixels
/// are the same to the last bit wherever the program runs.
/// </summary>
static class Painter
{
    /// <summary>Width and height of a picture, in pixels.</summary>
    public const int Side = 28;

    const int Knots = 5; // of the elastic distortion, per direction
    const int StepsPerPoint = 6;

    /// <summary>Fills <paramref name="pixels"/> (28·28, row by row, each k/255 with 1 = ink) and returns the digit drawn.</summary>
    public static int Draw(Rng rng, Span<float> pixels)
    {
        int digit = rng.Below(10);
        var canvas = new double[Side * Side];
        double radius = rng.Uniform(0.6, 1.6);

        var place = RandomAffine(rng);
        var bend = RandomBend(rng, rng.Uniform(0.2, 1.1));
        double jitter = rng.Uniform(1.5, 6);
        foreach (var stroke in Skeletons.Pick(digit, rng))
        {
            var path = Curve(Jittered(stroke, jitter, rng)).Select(point => bend(place(point)));
            Ink(canvas, [.. path], radius, 1, rng);
        }
        if (rng.Chance(0.4))
        {
            Clutter(canvas, radius, rng);
        }
        Blur(canvas, rng.Uniform(0, 0.22));
        Develop(canvas, rng, pixels);
        return digit;
    }

    /// <summary>From skeleton units to pixels: stretch, slant, turn, move.</summary>
    static Func<Point, Point> RandomAffine(Rng rng)
    {
        double height = rng.Uniform(14, 22) / 100, width = height * rng.Uniform(0.7, 1.25);
        double slant = 0.16 * rng.Bell();
        double t = 0.07 * rng.Bell(), cos = (1 - t * t) / (1 + t * t), sin = 2 * t / (1 + t * t); // t is the tangent of half the angle
        double right = Side / 2 + 1.3 * rng.Bell(), down = Side / 2 + 1.3 * rng.Bell();
        return point =>
        {
            double y = (point.Y - 50) * height, x = (point.X - 30) * width - slant * y;
            return new(right + cos * x - sin * y, down + sin * x + cos * y);
        };
    }

    /// <summary>A smooth elastic distortion: random shifts of about <paramref name="size"/> pixels at a grid of knots, blended between them.</summary>
    static Func<Point, Point> RandomBend(Rng rng, double size)
    {
        var shifts = new Point[Knots, Knots];
        for (int row = 0; row < Knots; row++)
        {
            for (int col = 0; col < Knots; col++)
            {
                shifts[row, col] = size * new Point(rng.Bell(), rng.Bell());
            }
        }
        return point =>
        {
            var (row, down) = Cell(point.Y);
            var (col, right) = Cell(point.X);
            var above = shifts[row, col] + right * (shifts[row, col + 1] - shifts[row, col]);
            var below = shifts[row + 1, col] + right * (shifts[row + 1, col + 1] - shifts[row + 1, col]);
            return point + above + down * (below - above);
        };

        static (int Index, double Blend) Cell(double pixel)
        {
            double at = Math.Clamp(pixel / Side, 0, 1) * (Knots - 1);
            int index = Math.Min((int)at, Knots - 2);
            double part = at - index;
            return (index, part * part * (3 - 2 * part));
        }
    }

    /// <summary>Each point moved a little; the two copies of a corner stay together.</summary>
    static Point[] Jittered(Point[] stroke, double size, Rng rng)
    {
        var moved = new Point[stroke.Length];
        for (int i = 0; i < stroke.Length; i++)
        {
            moved[i] = i > 0 && stroke[i] == stroke[i - 1] ? moved[i - 1] : stroke[i] + size * new Point(rng.Bell(), rng.Bell());
        }
        return moved;
    }

    /// <summary>The Catmull-Rom spline through the points, as short straight pieces.</summary>
    static IEnumerable<Point> Curve(Point[] through)
    {
        for (int i = 0; i + 1 < through.Length; i++)
        {
            Point a = through[Math.Max(i - 1, 0)], b = through[i], c = through[i + 1], d = through[Math.Min(i + 2, through.Length - 1)];
            for (int step = 0; step < StepsPerPoint; step++)
            {
                double t = (double)step / StepsPerPoint;
                yield return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));
            }
        }
        yield return through[^1];
    }

    /// <summary>A pen of varying radius along the path; a pixel's ink is how far its centre is inside, over one pixel (anti-aliasing).</summary>
    static void Ink(double[] canvas, Point[] path, double radius, double strength, Rng rng)
    {
        double start = radius * (1 + 0.15 * rng.Bell()), end = radius * (1 + 0.15 * rng.Bell());
        for (int i = 0; i + 1 < path.Length; i++)
        {
            Point a = path[i], ab = path[i + 1] - a;
            double reach = start + (end - start) * i / path.Length + 0.5, length2 = ab.X * ab.X + ab.Y * ab.Y;
            int top = Pixel(Math.Min(a.Y, a.Y + ab.Y) - reach), bottom = Pixel(Math.Max(a.Y, a.Y + ab.Y) + reach);
            int left = Pixel(Math.Min(a.X, a.X + ab.X) - reach), right = Pixel(Math.Max(a.X, a.X + ab.X) + reach);
            for (int row = top; row <= bottom; row++)
            {
                for (int col = left; col <= right; col++)
                {
                    var p = new Point(col + 0.5, row + 0.5) - a;
                    double along = length2 > 0 ? Math.Clamp((p.X * ab.X + p.Y * ab.Y) / length2, 0, 1) : 0;
                    var off = p - along * ab;
                    double inside = Math.Clamp(reach - Math.Sqrt(off.X * off.X + off.Y * off.Y), 0, 1);
                    canvas[row * Side + col] = Math.Max(canvas[row * Side + col], strength * inside);
                }
            }
        }

        static int Pixel(double at) => (int)Math.Clamp(at, 0, Side - 1);
    }

    /// <summary>One or two short strokes that belong to no digit.</summary>
    static void Clutter(double[] canvas, double radius, Rng rng)
    {
        for (int count = 1 + rng.Below(2); count > 0; count--)
        {
            var from = new Point(rng.Uniform(0, Side), rng.Uniform(0, Side));
            var middle = from + 2.2 * new Point(rng.Bell(), rng.Bell());
            var to = middle + 2.2 * new Point(rng.Bell(), rng.Bell());
            Ink(canvas, [.. Curve([from, middle, to])], radius, rng.Uniform(0.3, 1), rng);
        }
    }

    /// <summary>Mixes each pixel with its neighbours, rows then columns; <paramref name="weight"/> goes to each side.</summary>
    static void Blur(double[] canvas, double weight)
    {
        foreach (int step in (int[])[1, Side])
        {
            var sharp = (double[])canvas.Clone();
            for (int i = 0; i < canvas.Length; i++)
            {
                int place = i / step % Side;
                double before = place > 0 ? sharp[i - step] : 0, after = place < Side - 1 ? sharp[i + step] : 0;
                canvas[i] = sharp[i] + weight * (before - 2 * sharp[i] + after);
            }
        }
    }

    /// <summary>Ink on paper with noise, in steps of 1/255.</summary>
    static void Develop(double[] canvas, Rng rng, Span<float> pixels)
    {
        double paper = rng.Uniform(-0.1, 0.2), ink = rng.Uniform(0.5, 1), noise = rng.Uniform(0, 0.1);
        for (int i = 0; i < canvas.Length; i++)
        {
            double value = paper + (ink - paper) * canvas[i] + noise * rng.Bell();
            pixels[i] = (float)Math.Floor(Math.Clamp(value, 0, 1) * 255 + 0.5) / 255;
        }
    }
}
