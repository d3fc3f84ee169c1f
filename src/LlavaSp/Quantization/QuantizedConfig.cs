namespace LlavaSp.Quantization;

/// <summary>How a quantised checkpoint of this runtime says so in config.json: <c>quantization_config</c> with method, weight kind and group size.</summary>
internal static class QuantizedConfig
{
    /// <summary>Value of <c>quant_method</c>.</summary>
    public const string Method = "llava-sp";
}
