using Microsoft.ML.OnnxRuntime;

namespace LlavaSp.Peers.Onnx;

/// <summary>What all measurements of ONNX Runtime share.</summary>
internal static class OnnxSession
{
    /// <summary>Name and version of the library.</summary>
    public static string Version => $"ONNX Runtime {OrtEnv.Instance().GetVersionString()}";

    /// <summary>A session with all optimisations on the threads that every peer has.</summary>
    public static InferenceSession Open(string path)
    {
        using var options = new SessionOptions
        {
            IntraOpNumThreads = Shapes.Threads,
            InterOpNumThreads = 1,
            GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL,
            LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR,
        };
        return new InferenceSession(path, options);
    }

    /// <summary>A tensor of random values.</summary>
    public static OrtValue Random(params long[] shape)
    {
        var random = new Random(5);
        var values = new float[shape.Aggregate(1L, (product, size) => product * size)];
        for (int i = 0; i < values.Length; i++) values[i] = random.NextSingle() - 0.5f;
        return OrtValue.CreateTensorValueFromMemory(values, shape);
    }
}
