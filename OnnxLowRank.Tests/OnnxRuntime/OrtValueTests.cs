using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Tests.OnnxRuntime;

public unsafe class OrtValueTests
{
    [Fact]
    public void An_array_is_used_where_it_is()
    {
        float[] data = [1, 2, 3];
        using var session = new InferenceSession(Models.Twice());
        using var x = Models.Row(data);

        data[1] = 20;
        x.GetTensorMutableDataAsSpan<float>()[2] = 30;

        Assert.True(Unsafe.AreSame(ref data[0], ref x.GetTensorMutableDataAsSpan<float>()[0]));
        Assert.Equal(30, data[2]);
        Assert.Equal([2, 40, 60], Models.Run(session, x));
    }

    [Fact]
    public void An_output_is_read_where_the_library_put_it()
    {
        using var session = new InferenceSession(Models.Twice());
        using var outputs = session.Run(Models.Defaults, ["x"], [Models.Row([1, 2, 3])], ["y"]);
        var y = outputs[0];

        fixed (float* first = y.GetTensorDataAsSpan<float>(), again = y.GetTensorMutableDataAsSpan<float>())
        fixed (byte* raw = y.GetTensorMutableRawData())
        {
            Assert.Equal((nint)first, (nint)again);
            Assert.Equal((nint)first, (nint)raw);
            again[1] = -1;
        }
        Assert.Equal([2, -1, 6], y.GetTensorDataAsSpan<float>());
        Assert.Equal(12, y.GetTensorMutableRawData().Length);
    }

    [Fact]
    public void An_output_outlives_its_session()
    {
        IDisposableReadOnlyCollection<OrtValue> outputs;
        using (var session = new InferenceSession(Models.Twice()))
        {
            outputs = session.Run(Models.Defaults, ["x"], [Models.Row([1, 2, 3])], ["y"]);
        }
        CollectGarbage();

        Assert.Equal([2, 4, 6], outputs[0].GetTensorDataAsSpan<float>());
        outputs.Dispose();
        Assert.Empty(outputs);
    }

    [Fact]
    public void An_output_that_is_the_input_itself_keeps_the_input_s_memory()
    {
        var (array, outputs) = RunThrough();
        CollectGarbage();
        Assert.Equal([1, 2, 3], Copy(outputs[0]));

        bool shared = array.IsAlive;
        outputs.Dispose();
        CollectGarbage();
        Assert.False(array.IsAlive);
        Assert.True(shared, "the output did not share the input's memory, so this test shows nothing");

        [MethodImpl(MethodImplOptions.NoInlining)]
        static (WeakReference, IDisposableReadOnlyCollection<OrtValue>) RunThrough()
        {
            using var session = new InferenceSession(Models.Bytes(new()
            {
                Name = "through",
                Input = { Models.Tensor("x", Models.Float, 3) },
                Output = { Models.Tensor("x", Models.Float, 3), Models.Tensor("y", Models.Float, 3) },
                Node = { Models.Node("Neg", ["x"], ["y"]) },
            }));
            float[] data = [1, 2, 3];
            using var x = OrtValue.CreateTensorValueFromMemory(data, [3]);
            return (new(data), session.Run(Models.Defaults, ["x"], [x], ["x", "y"]));
        }
    }

    [Theory]
    [InlineData(TensorElementType.Float, 1.5f)]
    [InlineData(TensorElementType.Double, 1.5)]
    [InlineData(TensorElementType.UInt8, (byte)200)]
    [InlineData(TensorElementType.Int8, (sbyte)-2)]
    [InlineData(TensorElementType.UInt16, (ushort)3)]
    [InlineData(TensorElementType.Int16, (short)-3)]
    [InlineData(TensorElementType.UInt32, 4u)]
    [InlineData(TensorElementType.Int32, -4)]
    [InlineData(TensorElementType.UInt64, 5ul)]
    [InlineData(TensorElementType.Int64, -5L)]
    [InlineData(TensorElementType.Bool, true)]
    public void Every_type_goes_in_and_comes_out<T>(TensorElementType type, T value) where T : unmanaged
    {
        using var session = new InferenceSession(Models.Same((TensorProto.Types.DataType)type));
        Assert.Equal((type, typeof(T)), (session.InputMetadata["x"].ElementDataType, session.InputMetadata["x"].ElementType));

        using var outputs = session.Run(Models.Defaults, ["x"], [OrtValue.CreateTensorValueFromMemory([default, value], [2])], ["y"]);

        Assert.Equal([default, value], outputs[0].GetTensorDataAsSpan<T>().ToArray());
        var info = outputs[0].GetTensorTypeAndShape();
        Assert.Equal((type, 2L, 1, false), (info.ElementDataType, info.ElementCount, info.DimensionsCount, info.IsString));
        Assert.Equal([2], info.Shape);
    }

    [Fact]
    public void Half_precision_goes_in_and_comes_out()
    {
        Every_type_goes_in_and_comes_out(TensorElementType.Float16, (Float16)1.5f);
        Every_type_goes_in_and_comes_out(TensorElementType.BFloat16, (BFloat16)1.5f);
    }

    [Theory]
    [InlineData(0f, 0x0000, 0x0000)]
    [InlineData(-0f, 0x8000, 0x8000)]
    [InlineData(1f, 0x3C00, 0x3F80)]
    [InlineData(65504f, 0x7BFF, 0x4780)]
    [InlineData(1.00390625f, 0x3C04, 0x3F80)]   // a tie in bfloat16: to even
    [InlineData(1.01171875f, 0x3C0C, 0x3F82)]   // the next tie: to even
    [InlineData(1e-45f, 0x0000, 0x0000)]
    [InlineData(float.PositiveInfinity, 0x7C00, 0x7F80)]
    public void Half_precision_rounds_to_the_nearest(float number, ushort half, ushort brain)
    {
        Assert.Equal(half, ((Float16)number).value);
        Assert.Equal(brain, ((BFloat16)number).value);
        Assert.Equal((float)BitConverter.UInt16BitsToHalf(half), new Float16(half).ToFloat());
        Assert.Equal((Float16)number, new Float16(half));
        Assert.True((BFloat16)number == new BFloat16(brain));
    }

    [Fact]
    public void NaN_stays_NaN()
    {
        Assert.True(float.IsNaN((float)(Float16)float.NaN));
        Assert.True(float.IsNaN((float)(BFloat16)BitConverter.UInt32BitsToSingle(0x7F80_0001)));
        Assert.False((Float16)float.NaN == (Float16)float.NaN);
        Assert.Equal((BFloat16)float.NaN, (BFloat16)float.NaN);
    }

    [Fact]
    public void The_wrong_type_is_an_exception()
    {
        using var x = Models.Row([1, 2, 3]);

        Assert.Throws<OnnxRuntimeException>(() => x.GetTensorDataAsSpan<double>().Length);
        Assert.Throws<OnnxRuntimeException>(() => x.GetTensorDataAsSpan<int>().Length);
        Assert.Equal(12, x.GetTensorDataAsSpan<byte>().Length);
        Assert.Throws<OnnxRuntimeException>(() => OrtValue.CreateTensorValueFromMemory(new Half[1], [1]));
        Assert.Throws<OnnxRuntimeException>(() => OrtValue.CreateTensorValueFromMemory(new char[1], [1]));
    }

    [Fact]
    public void A_shape_that_does_not_fit_is_an_exception()
    {
        Assert.Throws<OnnxRuntimeException>(() => OrtValue.CreateTensorValueFromMemory(new float[5], [2, 3]));
        Assert.Throws<ArgumentOutOfRangeException>(() => OrtValue.CreateTensorValueFromMemory(new float[5], [-1]));
        Assert.Throws<OverflowException>(() => OrtValue.CreateTensorValueFromMemory(new float[5], [1L << 40, 1L << 40]));
        using var part = OrtValue.CreateTensorValueFromMemory(new float[5], [2, 2]);
        Assert.Equal(4, part.GetTensorDataAsSpan<float>().Length);
    }

    [Fact]
    public void Scalars_and_empty_tensors_are_tensors()
    {
        using var scalar = OrtValue.CreateTensorValueFromMemory(new float[] { 7 }, []);
        using var empty = OrtValue.CreateTensorValueFromMemory(Array.Empty<float>(), [0, 3]);
        using var session = new InferenceSession(Models.Twice());

        Assert.Equal([7], scalar.GetTensorDataAsSpan<float>());
        Assert.True(empty.GetTensorDataAsSpan<float>().IsEmpty);
        Assert.Equal([0, 3], empty.GetTensorTypeAndShape().Shape);
        Assert.Empty(Models.Run(session, empty));
    }

    [Fact]
    public void A_part_of_an_array_and_other_memory_can_be_a_tensor()
    {
        using var session = new InferenceSession(Models.Twice());
        float[] data = [0, 0, 1, 2, 3, 0];
        using var part = OrtValue.CreateTensorValueFromMemory(OrtMemoryInfo.DefaultInstance, data.AsMemory(2, 3), [1, 3]);
        Assert.Equal([2, 4, 6], Models.Run(session, part));

        var memory = (float*)NativeMemory.Alloc(3, sizeof(float));
        (memory[0], memory[1], memory[2]) = (4, 5, 6);
        using (var native = OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, TensorElementType.Float, [1, 3], (nint)memory, 12))
        {
            Assert.Equal([8, 10, 12], Models.Run(session, native));
        }
        Assert.Throws<OnnxRuntimeException>(() => OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, TensorElementType.Float, [1, 3], (nint)memory, 11));
        Assert.Throws<OnnxRuntimeException>(() => OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, TensorElementType.String, [1], (nint)memory, 11));
        NativeMemory.Free(memory);
    }

    [Fact]
    public void Pinned_memory_is_let_go_exactly_once()
    {
        using var manager = new CountingMemory();

        var value = OrtValue.CreateTensorValueFromMemory(OrtMemoryInfo.DefaultInstance, manager.Memory, [4]);
        Assert.Equal((1, 0), (manager.Pins, manager.Unpins));
        value.Dispose();
        value.Dispose();

        Assert.Equal((1, 1), (manager.Pins, manager.Unpins));
        Assert.Throws<OnnxRuntimeException>(() => OrtValue.CreateTensorValueFromMemory(OrtMemoryInfo.DefaultInstance, manager.Memory, [5]));
        Assert.Equal(manager.Pins, manager.Unpins);
    }

    [Fact]
    public void A_forgotten_value_lets_its_array_go()
    {
        var array = Forget();
        CollectGarbage();
        Assert.False(array.IsAlive);

        [MethodImpl(MethodImplOptions.NoInlining)]
        static WeakReference Forget()
        {
            var data = new float[3];
            Models.Row(data);
            return new(data);
        }
    }

    [Fact]
    public void A_tensor_can_have_memory_of_its_own()
    {
        using var session = new InferenceSession(Models.Twice());
        using var place = new OrtMemoryInfo(OrtMemoryInfo.allocatorCPU, OrtAllocatorType.ArenaAllocator, 0, OrtMemType.Default);
        using var allocator = new OrtAllocator(session, place);
        using var x = OrtValue.CreateAllocatedTensorValue(allocator, TensorElementType.Float, [1, 3]);
        allocator.Dispose();
        ((ReadOnlySpan<float>)[1, 2, 3]).CopyTo(x.GetTensorMutableDataAsSpan<float>());

        Assert.Equal([2, 4, 6], Models.Run(session, x));
        using var info = x.GetTensorMemoryInfo();
        x.Dispose();
        Assert.Equal(("Cpu", 0, OrtMemType.Default), (info.Name, info.Id, info.GetMemoryType()));
        Assert.True(Enum.IsDefined(info.GetAllocatorType()));
    }

    [Fact]
    public void Places_are_equal_by_what_they_mean()
    {
        using var cpu = new OrtMemoryInfo("Cpu", OrtAllocatorType.DeviceAllocator, 0, OrtMemType.Default);
        using var same = new OrtMemoryInfo("Cpu", OrtAllocatorType.DeviceAllocator, 0, OrtMemType.Default);
        using var cuda = new OrtMemoryInfo("Cuda", OrtAllocatorType.DeviceAllocator, 1, OrtMemType.Default);
        using var ours = OrtAllocator.DefaultInstance.Info;

        Assert.True(cpu.Equals(same) && cpu.GetHashCode() == same.GetHashCode());
        Assert.False(cpu.Equals(cuda) || cpu.Equals(null));
        Assert.Equal("Cpu", OrtMemoryInfo.DefaultInstance.Name);
        Assert.Equal("Cpu", ours.Name);
        Assert.Throws<OnnxRuntimeException>(() => new OrtMemoryInfo("nowhere", OrtAllocatorType.DeviceAllocator, 0, OrtMemType.Default));
        Assert.Throws<ArgumentException>(() => new OrtMemoryInfo("Cpu"u8.ToArray(), OrtAllocatorType.DeviceAllocator, 0, OrtMemType.Default));
    }

    [Fact]
    public void A_disposed_shared_instance_is_replaced()
    {
        OrtMemoryInfo.DefaultInstance.Dispose();
        OrtAllocator.DefaultInstance.Dispose();

        Assert.Equal("Cpu", OrtMemoryInfo.DefaultInstance.Name);
        using var info = OrtAllocator.DefaultInstance.Info;
        Assert.Equal("Cpu", info.Name);
    }

    [Fact]
    public void Text_goes_in_and_comes_out()
    {
        using var session = new InferenceSession(Models.Same(TensorProto.Types.DataType.String));
        using var x = OrtValue.CreateTensorWithEmptyStrings(OrtAllocator.DefaultInstance, [4]);
        x.StringTensorSetElementAt("żółw 🐢".AsSpan(), 0);
        x.StringTensorSetElementAt("a\0b".AsMemory(), 1);
        x.StringTensorSetElementAt("utf-8"u8, 2);

        using var outputs = session.Run(Models.Defaults, ["x"], [x], ["y"]);

        Assert.Equal(["żółw 🐢", "a\0b", "utf-8", ""], outputs[0].GetStringTensorAsArray());
        Assert.Equal("utf-8", outputs[0].GetStringElement(2));
        Assert.True(outputs[0].GetTensorTypeAndShape().IsString);
    }

    [Fact]
    public void Text_and_numbers_are_not_mixed_up()
    {
        using var text = OrtValue.CreateTensorWithEmptyStrings(OrtAllocator.DefaultInstance, [1]);
        using var numbers = Models.Row([1, 2, 3]);

        Assert.Throws<OnnxRuntimeException>(() => text.GetTensorMutableRawData().Length);
        Assert.Throws<OnnxRuntimeException>(() => text.GetStringElement(1));
        Assert.Throws<ArgumentOutOfRangeException>(() => text.GetStringElement(-1));
        Assert.Throws<OnnxRuntimeException>(() => text.StringTensorSetElementAt("x".AsSpan(), 1));
        Assert.Throws<OnnxRuntimeException>(() => numbers.GetStringElement(0));
        Assert.Throws<OnnxRuntimeException>(() => numbers.GetStringTensorAsArray());
        Assert.Throws<OnnxRuntimeException>(() => numbers.StringTensorSetElementAt("x".AsSpan(), 0));
    }

    [Fact]
    public void A_disposed_value_is_refused()
    {
        var x = Models.Row([1, 2, 3]);
        x.Dispose();

        Assert.Throws<ObjectDisposedException>(() => x.GetTensorDataAsSpan<float>().Length);
        Assert.Throws<ObjectDisposedException>(() => x.GetTensorTypeAndShape());
        Assert.Throws<ObjectDisposedException>(x.GetTensorMemoryInfo);
    }

    /// <summary>Not inline: a span left in the caller's frame would keep the array it points into.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    internal static float[] Copy(OrtValue value) => value.GetTensorDataAsSpan<float>().ToArray();

    internal static void CollectGarbage()
    {
        for (int i = 0; i < 3; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }
    }

    sealed class CountingMemory : MemoryManager<float>
    {
        readonly float[] _data = GC.AllocateArray<float>(4, pinned: true);

        public int Pins { get; private set; }

        public int Unpins { get; private set; }

        public override Span<float> GetSpan() => _data;

        public override MemoryHandle Pin(int elementIndex = 0)
        {
            Pins++;
            return new(Unsafe.AsPointer(ref _data[elementIndex]), default, this);
        }

        public override void Unpin() => Unpins++;

        protected override void Dispose(bool disposing)
        {
        }
    }
}
