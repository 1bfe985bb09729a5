using System.Runtime.CompilerServices;
using Microsoft.ML.OnnxRuntime;

namespace OnnxLowRank.Tests.OnnxRuntime;

public class OrtIoBindingTests
{
    [Fact]
    public void Bound_inputs_and_outputs_serve_many_runs()
    {
        using var session = new InferenceSession(Models.Twice());
        using var binding = session.CreateIoBinding();
        using var options = new RunOptions();
        float[] x = [1, 2, 3], y = new float[3];
        using var input = Models.Row(x);
        using var output = Models.Row(y);
        binding.BindInput("x", input);
        binding.BindOutput("y", output);

        session.RunWithBinding(options, binding);
        Assert.Equal([2, 4, 6], y);
        x[0] = 50;
        binding.SynchronizeBoundInputs();
        session.RunWithBinding(options, binding);
        binding.SynchronizeBoundOutputs();

        Assert.Equal([100, 4, 6], y);
        Assert.Equal(["y"], binding.GetOutputNames());
    }

    [Fact]
    public void Outputs_can_be_left_to_the_library()
    {
        using var session = new InferenceSession(Models.Twice());
        using var binding = session.CreateIoBinding();
        using var options = new RunOptions();
        using var input = Models.Row([1, 2, 3]);
        binding.BindInput("x", input);
        binding.BindOutputToDevice("y", OrtMemoryInfo.DefaultInstance);

        using var outputs = session.RunWithBoundResults(options, binding);

        Assert.Equal([2, 4, 6], outputs[0].GetTensorDataAsSpan<float>());
        binding.ClearBoundOutputs();
        Assert.Empty(binding.GetOutputNames());
        Assert.Empty(binding.GetOutputValues());
        binding.ClearBoundInputs();
        Assert.Throws<OnnxRuntimeException>(() => session.RunWithBinding(options, binding));
    }

    [Fact]
    public void What_is_bound_lives_as_long_as_the_binding()
    {
        using var session = new InferenceSession(Models.Twice());
        using var options = new RunOptions();
        using var binding = session.CreateIoBinding();
        var (input, output) = Bind(binding);

        OrtValueTests.CollectGarbage();
        var outputs = session.RunWithBoundResults(options, binding);
        binding.ClearBoundInputs();
        binding.ClearBoundOutputs();
        OrtValueTests.CollectGarbage();

        Assert.Equal([2, 4, 6], OrtValueTests.Copy(outputs[0])); // from the bound array, which only this value needs
        Assert.False(input.IsAlive);
        Assert.True(output.IsAlive);
        outputs.Dispose();
        OrtValueTests.CollectGarbage();
        Assert.False(output.IsAlive);
    }

    [Fact]
    public void A_binding_lets_go_of_what_is_replaced_and_when_it_is_forgotten()
    {
        using var session = new InferenceSession(Models.Twice());
        var (first, second, output) = Replace(session);

        OrtValueTests.CollectGarbage();

        Assert.False(first.IsAlive || second.IsAlive || output.IsAlive);

        [MethodImpl(MethodImplOptions.NoInlining)]
        static (WeakReference, WeakReference, WeakReference) Replace(InferenceSession session)
        {
            var binding = session.CreateIoBinding();
            var (first, output) = Bind(binding);
            var (second, _) = Bind(binding);
            OrtValueTests.CollectGarbage();
            Assert.False(first.IsAlive || output.IsAlive);
            Assert.True(second.IsAlive);
            GC.KeepAlive(binding);
            return (first, second, output);
        }
    }

    [Fact]
    public void A_binding_keeps_its_session()
    {
        var session = new InferenceSession(Models.Twice());
        var binding = session.CreateIoBinding();
        Bind(binding);

        session.Dispose();
        binding.ClearBoundInputs();
        binding.Dispose();

        Assert.Throws<ObjectDisposedException>(binding.GetOutputNames);
    }

    [Fact]
    public void What_cannot_be_bound_is_an_exception()
    {
        using var session = new InferenceSession(Models.Twice());
        using var binding = session.CreateIoBinding();
        using var x = Models.Row([1, 2, 3]);
        var disposed = Models.Row([1, 2, 3]);
        disposed.Dispose();

        Assert.Throws<OnnxRuntimeException>(() => binding.BindInput("nobody", x));
        Assert.Throws<ObjectDisposedException>(() => binding.BindInput("x", disposed));
        Assert.Throws<ArgumentNullException>(() => binding.BindOutput("y", null!));
        Assert.Throws<ArgumentNullException>(() => session.RunWithBinding(null!, binding));
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    static (WeakReference Input, WeakReference Output) Bind(OrtIoBinding binding)
    {
        float[] x = [1, 2, 3], y = new float[3];
        using var input = Models.Row(x);
        using var output = Models.Row(y);
        binding.BindInput("x", input);
        binding.BindOutput("y", output);
        return (new(x), new(y));
    }
}
