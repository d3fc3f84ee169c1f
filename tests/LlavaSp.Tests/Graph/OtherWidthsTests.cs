using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Generation;
using LlavaSp.Imaging;
using LlavaSp.Quantization;
using LlavaSp.Text;

namespace LlavaSp.Tests.Graph;

/// <summary>Widths that fill no vector, tile or group: the whole graph on the CPU engine against the reference.</summary>
public sealed class OtherWidthsTests
{
    // Every instruction set once; the least of the SIMD sets and the best with a variant more.
    public static TheoryData<string, string> Cases()
    {
        string[] names = InstructionSets.OfThisArchitecture;
        var cases = new TheoryData<string, string> { { "pooling", names[1] }, { "none", names[^1] } };
        for (int i = 0; i < names.Length; i++) cases.Add(i == 2 ? "pooling" : "cropping", names[i]);
        return cases;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void TheCpuEngineAgreesWithTheReference(string variant, string isa)
    {
        if (!LlavaSp.Backends.Cpu.CpuBackend.InstructionSets().Contains(isa)) Assert.Skip($"this machine has no {isa}");
        Dictionary<string, float[]> expected = Trace(variant, "reference"), actual = Trace(variant, $"cpu:{isa}");
        Assert.True(expected.Count > 10);
        foreach ((string name, float[] values) in expected)
        {
            if (!actual.TryGetValue(name, out float[]? other))
            {
                // Fused away: only inside the spatial tokens.
                Assert.Contains(".sp.", name, StringComparison.Ordinal);
                continue;
            }

            float bound = 1e-4f * Math.Max(1, values.Max(MathF.Abs));
            float difference = TensorComparison.Difference(values, other);
            Assert.True(difference <= bound, $"{name}: largest difference {difference:g3}, allowed {bound:g3}");
        }
    }

    private static Dictionary<string, float[]> Trace(string variant, string device)
    {
        SpatialMode? mode = variant switch
        {
            "cropping" => SpatialMode.Cropping,
            "pooling" => SpatialMode.Pooling,
            _ => null,
        };
        using ModelCheckpoint checkpoint = SyntheticModel.Build("odd widths", Shapes.Decoder(90, 101, 2, 6, 3, 14, 333), Shapes.Tower(39, 70, 3, 3), mode, 19, 16);
        var options = new LoadOptions { Device = new DeviceOptions(device), Weights = WeightFormat.F32, KvFormat = KvFormat.F32, AllHiddenStates = true };
        using LlavaSpModel model = LlavaSpModel.Load(checkpoint, null, options, 0);
        var trace = new TraceFile();
        ModelTracer.Run(model, [1, 332, ImageToken.Id, 7, 200], [model.Prepare(ImageDecoder.Decode(Goldens.Image('d')))], 4, trace);
        string path = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid():N}.safetensors");
        try
        {
            trace.Save(path);
            using SafetensorsFile file = SafetensorsFile.Open(path);
            return trace.Tensors.Where(tensor => tensor.DType == DType.F32).ToDictionary(tensor => tensor.Name, tensor => TensorComparison.Floats(file, tensor.Name));
        }
        finally
        {
            File.Delete(path);
        }
    }
}
