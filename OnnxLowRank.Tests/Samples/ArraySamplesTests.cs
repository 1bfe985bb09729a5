using System.Runtime.InteropServices;
using OnnxLowRank.Samples;
using DataType = OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType;

namespace OnnxLowRank.Tests.Samples;

public sealed class ArraySamplesTests : IDisposable
{
    readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    static InputSpec Floats(string name, params long?[] dimensions) => new(name, DataType.Float, dimensions);

    static T[] As<T>(SampleBuffer buffer) where T : unmanaged => MemoryMarshal.Cast<byte, T>(buffer.Bytes.Span).ToArray();

    [Fact]
    public void Samples_are_gathered_in_the_order_asked_for()
    {
        _folder.Npy("x.npy", [5, 2], 0f, 1, 10, 11, 20, 21, 30, 31, 40, 41);
        using var source = SampleSource.Open(_folder.Path, [Floats("x", null, 2)]);

        using var run = source.Read([4, 1, 2, 3, 1]);

        Assert.Equal([40f, 41, 10, 11, 20, 21, 30, 31, 10, 11], As<float>(run.Inputs[0]));
        Assert.Equal([5L, 2], run.Inputs[0].Shape);
        Assert.Equal(5, run.Valid);
    }

    [Fact]
    public void Free_batch_takes_as_many_as_preferred()
    {
        _folder.Npy("x.npy", [5, 2], new float[10]);
        using var source = SampleSource.Open(_folder.Path, [Floats("x", null, 2)]);

        Assert.Equal(64, source.RunSize(64));
        Assert.Equal((5, 8L), (source.Count, source.BytesPerSample));
        Assert.Empty(source.Notes);
    }

    [Fact]
    public void Run_never_needs_a_buffer_above_two_gigabytes()
    {
        string path = _folder.File("x.npy", TempFolder.NpyBytes("{'descr': '|u1', 'fortran_order': False, 'shape': (3, 1000000000)}", []));
        using (var file = File.OpenWrite(path))
        {
            file.SetLength(128 + 3_000_000_000);   // sparse: takes no room
        }
        using var source = SampleSource.Open(path, [new("x", DataType.Uint8, [null, null])]);

        Assert.Equal(2, source.RunSize(3));
    }

    [Fact]
    public void Memory_is_that_of_one_run_however_large_the_file()
    {
        string path = _folder.File("x.npy", TempFolder.NpyBytes("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000)}", []));
        using (var file = File.OpenWrite(path))
        {
            file.SetLength(128 + 4_000_000_000);   // sparse: takes no room
        }
        long before = GC.GetAllocatedBytesForCurrentThread();

        using var source = SampleSource.Open(path, [Floats("x", null, 1000)]);
        for (int i = 0; i < 100; i++)
        {
            source.Read([i, 999_999 - i]).Dispose();
        }

        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 500_000);   // 800,000 bytes went through one pooled buffer
    }

    [Fact]
    public void Batch_fixed_to_one_runs_one_at_a_time()
    {
        _folder.Npy("x.npy", [3, 2], new float[6]);
        using var source = SampleSource.Open(_folder.Path, [Floats("x", 1, 2)]);

        Assert.Equal(1, source.RunSize(64));
        Assert.Throws<ArgumentException>(() => source.Read([0, 1]));
    }

    [Fact]
    public void Incomplete_fixed_batch_is_padded_with_its_last_sample()
    {
        _folder.Npy("x.npy", [3, 2], 0f, 1, 10, 11, 20, 21);
        using var source = SampleSource.Open(_folder.Path, [Floats("x", 4, 2)]);

        using var run = source.Read([2, 0]);

        Assert.Equal(4, source.RunSize(1));
        Assert.Equal(2, run.Valid);
        Assert.Equal([4L, 2], run.Inputs[0].Shape);
        Assert.Equal([20f, 21, 0, 1, 0, 1, 0, 1], As<float>(run.Inputs[0]));
        Assert.Contains("batches of 4", Assert.Single(source.Notes));
    }

    [Fact]
    public void Row_with_as_many_axes_as_the_input_is_the_whole_input()
    {
        _folder.Npy("x.npy", [3, 1, 2], 0f, 1, 10, 11, 20, 21);
        using var source = SampleSource.Open(_folder.Path, [Floats("x", 1, 2)]);

        using var run = source.Read([1]);

        Assert.Equal(1, source.RunSize(64));
        Assert.Equal([1L, 2], run.Inputs[0].Shape);
        Assert.Equal([10f, 11], As<float>(run.Inputs[0]));
    }

    [Fact]
    public void Scalar_input_takes_one_number_per_sample()
    {
        _folder.Npy("x.npy", [3], 1f, 2, 3);
        using var source = SampleSource.Open(_folder.Path, [Floats("x")]);

        using var run = source.Read([2]);

        Assert.Empty(run.Inputs[0].Shape);
        Assert.Equal([3f], As<float>(run.Inputs[0]));
    }

    [Theory]
    [InlineData(null)]
    [InlineData(1L)]
    public void Batched_inputs_join_whole_ones_as_batches_of_one(long? batch)
    {
        _folder.Npy("rate.npy", [3], 16L, 8, 4);
        _folder.Npy("x.npy", [3, 2], 0f, 1, 10, 11, 20, 21);
        using var source = SampleSource.Open(_folder.Path, [Floats("x", batch, 2), new("rate", DataType.Int64, [])]);

        using var run = source.Read([1]);

        Assert.Equal(1, source.RunSize(8));
        Assert.Equal([1L, 2], run.Inputs[0].Shape);
        Assert.Equal([10f, 11], As<float>(run.Inputs[0]));
        Assert.Equal([8L], As<long>(run.Inputs[1]));
    }

    [Fact]
    public void Free_input_follows_the_fixed_batch_of_another()
    {
        _folder.Npy("a.npy", [3, 1], 1f, 2, 3);
        _folder.Npy("b.npy", [3, 1], 4f, 5, 6);
        using var source = SampleSource.Open(_folder.Path, [Floats("a", null, 1), Floats("b", 2, 1)]);

        using var run = source.Read([2]);

        Assert.Equal([3f, 3], As<float>(run.Inputs[0]));
        Assert.Equal([6f, 6], As<float>(run.Inputs[1]));
    }

    [Fact]
    public void Single_file_of_any_name_serves_a_single_input()
    {
        string path = _folder.Npy("images.bin", [2, 1], 1f, 2);
        using var source = SampleSource.Open(path, [Floats("x", null, 1)]);

        Assert.Equal(2, source.Count);
    }

    [Theory]
    [InlineData("block/x:0", "block_x_0.npy")]
    [InlineData("block/x", "block/x.npy")]
    [InlineData("a\\b*c?d\"e<f>g|h", "a_b_c_d_e_f_g_h.npy")]
    public void Names_that_are_no_file_names_are_found(string input, string file)
    {
        _folder.Npy(file, [2, 1], 1f, 2);
        using var source = SampleSource.Open(_folder.Path, [Floats(input, null, 1)]);

        Assert.Equal(2, source.Count);
    }

    [Fact]
    public void Input_name_does_not_lead_out_of_the_folder()
    {
        _folder.Npy("secret.npy", [2, 1], 1f, 2);
        _folder.Npy("calib/y.npy", [2, 1], 1f, 2);

        var e = Assert.Throws<DataException>(() => SampleSource.Open(Path.Combine(_folder.Path, "calib"), [Floats("../secret", null, 1)]));

        Assert.Contains("expected .._secret.npy; found y.npy", e.Message);
    }

    [Fact]
    public void One_array_does_not_serve_two_inputs()
    {
        _folder.Npy("a_b.npy", [2, 1], 1f, 2);

        var e = Assert.Throws<DataException>(() => SampleSource.Open(_folder.Path, [Floats("a/b", null, 1), Floats("a:b", null, 1)]));

        Assert.Contains("both input 'a/b' and input 'a:b'", e.Message);
    }

    [Fact]
    public void Doubles_are_converted_for_a_float_input_with_a_note()
    {
        _folder.Npy("x.npy", [2, 1], 0.1, 1e-300);
        using var source = SampleSource.Open(_folder.Path, [Floats("x", null, 1)]);

        using var run = source.Read([0, 1]);

        Assert.Equal([0.1f, 0], As<float>(run.Inputs[0]));
        Assert.Equal(4, source.BytesPerSample);
        Assert.EndsWith("float64 is converted to float32 for input 'x'", Assert.Single(source.Notes));
    }

    [Fact]
    public void Integers_are_converted_both_ways()
    {
        _folder.Npy("a.npy", [2, 1], int.MinValue, int.MaxValue);
        _folder.Npy("b.npy", [2, 1], (long)int.MinValue, int.MaxValue);
        using var source = SampleSource.Open(_folder.Path, [new("a", DataType.Int64, [null, 1]), new("b", DataType.Int32, [null, 1])]);

        using var run = source.Read([0, 1]);

        Assert.Equal([int.MinValue, int.MaxValue], As<long>(run.Inputs[0]));
        Assert.Equal([int.MinValue, int.MaxValue], As<int>(run.Inputs[1]));
    }

    [Fact]
    public void Converted_batch_is_padded_too()
    {
        _folder.Npy("x.npy", [2, 2], 1.0, 2, 3, 4);
        using var source = SampleSource.Open(_folder.Path, [Floats("x", 3, 2)]);

        using var run = source.Read([0]);

        Assert.Equal([1f, 2, 1, 2, 1, 2], As<float>(run.Inputs[0]));
    }

    [Theory]
    [InlineData(1e39, "sample 3 holds 1E+39, out of range for float32")]
    [InlineData(double.NaN, "sample 3 holds NaN")]
    [InlineData(double.NegativeInfinity, "sample 3 holds -Infinity")]
    public void Unusable_double_is_named_with_its_sample(double value, string reason)
    {
        _folder.Npy("x.npy", [4, 2], 1.0, 2, 3, 4, 5, 6, 7, value);
        using var source = SampleSource.Open(_folder.Path, [Floats("x", null, 2)]);
        source.Read([0, 1, 2]).Dispose();

        var e = Assert.Throws<DataException>(() => source.Read([2, 3, 0]));

        Assert.Contains(reason, e.Message);
        Assert.StartsWith(Path.Combine(_folder.Path, "x.npy"), e.Message);
    }

    [Fact]
    public void Long_beyond_int_is_named_with_its_sample()
    {
        _folder.Npy("x.npy", [2, 1], 1, 1L << 31);
        using var source = SampleSource.Open(_folder.Path, [new("x", DataType.Int32, [null, 1])]);

        Assert.Contains("sample 1 holds 2147483648, out of range for int32", Assert.Throws<DataException>(() => source.Read([0, 1])).Message);
    }

    [Fact]
    public void Indices_that_make_no_run_are_the_callers_mistake()
    {
        _folder.Npy("x.npy", [2, 1], 1f, 2);
        using var source = SampleSource.Open(_folder.Path, [Floats("x", null, 1)]);

        Assert.Throws<ArgumentException>(() => source.Read([]));
        Assert.Throws<ArgumentException>(() => source.Read([2]));
        Assert.Throws<ArgumentException>(() => source.Read([-1]));
        Assert.Throws<ArgumentOutOfRangeException>(() => source.RunSize(0));
    }

    [Fact]
    public void Buffer_of_a_finished_run_cannot_be_read()
    {
        _folder.Npy("x.npy", [2, 1], 1f, 2);
        using var source = SampleSource.Open(_folder.Path, [Floats("x", null, 1)]);
        var run = source.Read([0]);
        run.Dispose();
        run.Dispose();

        Assert.Throws<ObjectDisposedException>(() => run.Inputs[0].Bytes);
    }

    [Fact]
    public void Several_threads_may_read()
    {
        _folder.Npy("x.npy", [200, 3], [.. Enumerable.Range(0, 600).Select(i => (double)i)]);
        using var source = SampleSource.Open(_folder.Path, [Floats("x", null, 3)]);

        Parallel.For(0, 2000, new() { MaxDegreeOfParallelism = 4, CancellationToken = TestContext.Current.CancellationToken }, i =>
        {
            using var run = source.Read([i % 200, (i + 7) % 200]);
            Assert.Equal([i % 200 * 3f, i % 200 * 3 + 1, i % 200 * 3 + 2], As<float>(run.Inputs[0])[..3]);
        });
    }

    public static TheoryData<string, string> Misfits => new()
    {
        { "missing folder", "no such file or folder" },
        { "empty path", "an empty path names no file" },
        { "missing array", "no array for input 'y'; expected x.npy, y.npy; found x.npy" },
        { "no arrays", "found no .npy" },
        { "one file for two inputs", "is one array, but the model has 2 inputs (x, y)" },
        { "text file", "neither a folder nor a .npy or .npz file" },
        { "channels", "shape 2x3x4x4 does not fit input 'x' [?,1,4,4]: axis 1 is 3, not 1" },
        { "too few axes", "shape 3x4x4 does not fit input 'x' [?,3,4,4,5]: expected 5 axes, the first counting samples (or 6, if each sample is a whole input)" },
        { "whole input", "shape 2x2x4 does not fit input 'x' [3,4]: axis 1 is 2, not 3" },
        { "number", "it has no axis that counts samples" },
        { "number for scalar", "it has no axis that counts samples" },
        { "matrix for scalar", "expected 1 axis, one number per sample" },
        { "counts", "y.npy has 3" },
        { "empty", "holds no samples" },
        { "two batches", "inputs 'x' [2,1] and 'y' [3,1] run 2 and 3 samples at once" },
        { "whole and batch", "but input 'y' [2,1] runs 2 samples at once" },
        { "zero batch", "a batch of 0 is impossible" },
        { "half", "int64 does not fit input 'x', which wants float16; save x.astype(np.float16)" },
        { "bfloat", "int64 does not fit input 'x', which wants bfloat16; NumPy has no such type" },
        { "uint8 image", "uint8 does not fit input 'x', which wants float32; save x.astype(np.float32)" },
        { "bool", "save x.astype(np.bool_)" },
        { "string input", "wants string, which calibration does not support" },
        { "no inputs", "the model has no inputs" },
        { "huge batch", "one run of the model needs a buffer of 4000000000 bytes" },
    };

    [Theory]
    [MemberData(nameof(Misfits))]
    public void Data_that_does_not_fit_is_refused_in_one_line_that_says_why(string which, string reason)
    {
        string path = _folder.Path;
        InputSpec[] inputs = [Floats("x", null, 1)];
        switch (which)
        {
            case "missing folder":
                path = Path.Combine(path, "nowhere");
                break;
            case "empty path":
                path = "";
                break;
            case "missing array":
                _folder.Npy("x.npy", [1, 1], 1f);
                inputs = [Floats("x", null, 1), Floats("y", null, 1)];
                break;
            case "one file for two inputs":
                path = _folder.Npy("x.npy", [1, 1], 1f);
                inputs = [Floats("x", null, 1), Floats("y", null, 1)];
                break;
            case "text file":
                path = _folder.File("x.npy", "1 2 3"u8.ToArray());
                break;
            case "channels":
                _folder.Npy("x.npy", [2, 3, 4, 4], new float[96]);
                inputs = [Floats("x", null, 1, 4, 4)];
                break;
            case "too few axes":
                _folder.Npy("x.npy", [3, 4, 4], new float[48]);
                inputs = [Floats("x", null, 3, 4, 4, 5)];
                break;
            case "whole input":
                _folder.Npy("x.npy", [2, 2, 4], new float[16]);
                inputs = [Floats("x", 3, 4)];
                break;
            case "number" or "number for scalar":
                _folder.Npy("x.npy", [], 1f);
                inputs = which == "number" ? inputs : [Floats("x")];
                break;
            case "matrix for scalar":
                _folder.Npy("x.npy", [2, 2], new float[4]);
                inputs = [Floats("x")];
                break;
            case "counts":
                _folder.Npy("x.npy", [2, 1], 1f, 2);
                _folder.Npy("y.npy", [3, 1], 1f, 2, 3);
                inputs = [Floats("x", null, 1), Floats("y", null, 1)];
                break;
            case "empty":
                _folder.Npy("x.npy", [0, 1], Array.Empty<float>());
                break;
            case "two batches":
                _folder.Npy("x.npy", [2, 1], 1f, 2);
                _folder.Npy("y.npy", [2, 1], 1f, 2);
                inputs = [Floats("x", 2, 1), Floats("y", 3, 1)];
                break;
            case "whole and batch":
                _folder.Npy("x.npy", [2], 1f, 2);
                _folder.Npy("y.npy", [2, 1], 1f, 2);
                inputs = [Floats("x"), Floats("y", 2, 1)];
                break;
            case "zero batch":
                _folder.Npy("x.npy", [2, 1], 1f, 2);
                inputs = [Floats("x", 0, 1)];
                break;
            case "half" or "bfloat" or "string input":
                _folder.Npy("x.npy", [2, 1], 1L, 2L);
                inputs = [new("x", which == "half" ? DataType.Float16 : which == "bfloat" ? DataType.Bfloat16 : DataType.String, [null, 1])];
                break;
            case "uint8 image" or "bool":
                _folder.Npy("x.npy", [2, 1], (byte)1, (byte)2);
                inputs = [new("x", which == "bool" ? DataType.Bool : DataType.Float, [null, 1])];
                break;
            case "no inputs":
                inputs = [];
                break;
            case "huge batch":
                string file = _folder.File("x.npy", TempFolder.NpyBytes("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1000000000)}", []));
                using (var stream = File.OpenWrite(file))
                {
                    stream.SetLength(128 + 4_000_000_000);
                }
                inputs = [Floats("x", null, null)];
                break;
        }

        var e = Assert.Throws<DataException>(() => SampleSource.Open(path, inputs));

        Assert.Contains(reason, e.Message);
        Assert.DoesNotContain('\n', e.Message);
    }

    [Fact]
    public void Control_characters_in_names_do_not_reach_the_terminal()
    {
        var e = Assert.Throws<DataException>(() => SampleSource.Open(_folder.Path, [Floats("\u001b[31mx\n\0", [null])]));

        Assert.Contains("'?[31mx??'", e.Message);
    }
}
