using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Tests;

public class OnnxProtoTests
{
    [Fact]
    public void Unknown_fields_survive_a_round_trip()
    {
        byte[] bytes = [8, 9, 0xFA, 0x3F, 2, 7, 7]; // ir_version 9, then field 1023 as two bytes

        var model = ModelProto.Parser.ParseFrom(bytes);

        Assert.Equal(9, model.IrVersion);
        Assert.Equal(bytes, Google.Protobuf.MessageExtensions.ToByteArray(model));
    }
}
