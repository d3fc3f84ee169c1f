using System.Text.Json;

namespace LlavaSp.Cli.Output;

/// <summary>What runs, as JSON: never left unsaid.</summary>
internal static class DeviceJson
{
    /// <summary>Device, instruction set, threads and the reason; formats of weights and cache.</summary>
    public static void Write(Utf8JsonWriter json, LlavaSpModel model)
    {
        json.Object("device", () =>
        {
            json.WriteString("name", model.Device.Device);
            json.WriteString("instruction_set", model.Device.InstructionSet);
            json.WriteNumber("threads", model.Device.Threads);
            json.WriteString("reason", model.Device.Reason);
        });
        json.WriteString("weights", model.Weights.ToString());
        json.WriteString("vision_weights", model.VisionWeights.ToString());
        json.WriteString("weights_reason", model.WeightsReason);
        json.WriteString("kv_cache", model.KvFormat.ToString().ToLowerInvariant());
    }
}
