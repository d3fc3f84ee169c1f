using LlavaSp.Peers.Onnx;
using Microsoft.ML.OnnxRuntime;

namespace LlavaSp.Peers.Accuracy;

/// <summary>Errors of ONNX Runtime's products, in the forms whose speed is compared.</summary>
internal static class OnnxErrors
{
    public static Measurement Measure(PeerOptions options)
    {
        var result = new Measurement { Version = OnnxSession.Version };
        foreach (bool outliers in (bool[])[false, true])
        {
            var problem = new ProductProblem(outliers);
            foreach ((OnnxWeights format, string label) in ((OnnxWeights, string)[])[(OnnxWeights.Int8, "int8 per row, activations int8 per tensor"), (OnnxWeights.Int4, "4-bit, groups of 64, activations int8")])
            {
                string name = $"product-{format}{(outliers ? "-outliers" : "")}";
                var graph = new OnnxGraph(name);
                graph.Input("x", OnnxType.Float, ProductProblem.Rows, ProductProblem.Inputs);
                graph.Output("y", OnnxType.Float, ProductProblem.Rows, ProductProblem.Outputs);
                string product = new OnnxLinear(graph, format).ApplyValues("x", ProductProblem.Inputs, ProductProblem.Outputs, problem.Weight);
                graph.Named("Identity", "", [product], ["y"]);
                using InferenceSession session = OnnxSession.Open(graph.Write(options.WorkFolder, name));
                using OrtValue x = OrtValue.CreateTensorValueFromMemory(problem.Activations, [ProductProblem.Rows, ProductProblem.Inputs]);
                using var run = new RunOptions();
                using IDisposableReadOnlyCollection<OrtValue> outputs = session.Run(run, ["x"], [x], ["y"]);
                result.Metrics[Metric.Error(label, outliers)] = problem.Error(outputs[0].GetTensorDataAsSpan<float>());
            }
        }

        return result;
    }
}
