using System.Text;
using System.Text.Json;
using OnnxLowRank.Runtime;

namespace OnnxLowRank.Tests.Runtime;

public class KernelProfileTests
{
    [Fact]
    public void Nodes_are_told_apart_by_run_and_kept_in_order()
    {
        const string Profile = """
            [
              {"cat":"Session","dur":900,"ph":"X","name":"session_initialization","args":{}},
              {"cat":"Node","dur":3,"ph":"X","name":"first_kernel_time","args":{"op_name":"Conv","provider":"CPUExecutionProvider"}},
              {"cat":"Node","dur":1,"ph":"X","name":"first_fence_after","args":{"op_name":"Conv"}},
              {"cat":"Node","dur":4,"ph":"X","name":"_kernel_time","args":{"op_name":"Relu"}},
              {"cat":"Session","dur":9,"ph":"X","name":"SequentialExecutor::Execute","args":{}},
              {"cat":"Session","dur":12,"ph":"X","name":"model_run","args":{}},
              {"cat":"Node","dur":5,"ph":"X","name":"first_kernel_time","args":{"op_name":"Conv"}},
              {"cat":"Session","dur":11,"ph":"X","name":"model_run","args":{}}
            ]
            """;

        var runs = KernelProfile.Read(Encoding.UTF8.GetBytes(Profile));

        Assert.Equal(2, runs.Count);
        Assert.Equal([new("Conv", 3), new("Relu", 4)], runs[0]);
        Assert.Equal([new("Conv", 5)], runs[1]);
    }

    [Fact]
    public void A_profile_cut_short_is_an_exception() =>
        Assert.ThrowsAny<JsonException>(() => KernelProfile.Read("[{\"cat\":\"Node\","u8.ToArray()));
}
