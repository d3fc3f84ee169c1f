using LlavaSp.Backends;

namespace LlavaSp.Graph;

/// <summary>Tracing of backend tensors.</summary>
internal static class TraceExtensions
{
    /// <summary>Copies a tensor to the sink if it is wanted.</summary>
    public static void AddTensor(this ITraceSink? trace, string name, Tensor tensor)
    {
        if (trace is not null && trace.Wants(name)) trace.Add(name, tensor.ToArray(), tensor.Rows, tensor.Columns);
    }
}
