using LlavaSp.Backends;
using LlavaSp.Backends.Cpu;
using LlavaSp.Quantization;

namespace LlavaSp.Peers.Accuracy;

/// <summary>Errors of LlavaSp's products.</summary>
internal static class OwnErrors
{
    public static Measurement Measure()
    {
        var result = new Measurement { Version = "" };
        (WeightFormat Format, bool Int8Activations)[] formats =
        [
            (WeightFormat.F16, false), (WeightFormat.Int8(), false), (WeightFormat.Int8(), true), (WeightFormat.Int4(), false), (WeightFormat.Int4(), true),
        ];
        foreach (bool outliers in (bool[])[false, true])
        {
            var problem = new ProductProblem(outliers);
            foreach ((WeightFormat format, bool int8Activations) in formats)
            {
                using var backend = new CpuBackend(new CpuBackendOptions(Threads: Shapes.Threads, Int8Activations: int8Activations));
                using Weight weight = backend.CreateWeight(problem.Source(), format);
                using Tensor x = backend.CreateTensor(ProductProblem.Rows, ProductProblem.Inputs), y = backend.CreateTensor(ProductProblem.Rows, ProductProblem.Outputs);
                x.Write(problem.Activations);
                backend.Linear(y, x, weight);
                result.Metrics[Metric.Error($"{format}, activations {(int8Activations ? "int8" : "float32")}", outliers)] = problem.Error(y.ToArray());
            }
        }

        return result;
    }
}
