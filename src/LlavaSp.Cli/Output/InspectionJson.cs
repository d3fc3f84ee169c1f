using System.Text.Json;
using LlavaSp.Checkpoints;

namespace LlavaSp.Cli.Output;

/// <summary>A checkpoint for programs.</summary>
internal static class InspectionJson
{
    public static void Write(Utf8JsonWriter json, CheckpointInspection inspection, bool tensors)
    {
        ModelCheckpoint checkpoint = inspection.Checkpoint;
        json.WriteString("model", checkpoint.Location.Model);
        json.WriteString("model_base", checkpoint.Location.ModelBase);
        json.WriteString("vision_tower", checkpoint.Location.VisionTower);
        json.WriteString("tokenizer", checkpoint.TokenizerFolder);
        json.WriteBoolean("complete", inspection.IsComplete);
        json.WriteString("variant", checkpoint.Spatial.Variant);
        json.WriteString("variant_reason", checkpoint.Spatial.Reason);
        json.WriteString("stored_format", checkpoint.StoredFormat.ToString());
        WriteConfig(json, checkpoint);
        json.Texts("notes", checkpoint.Notes);

        json.WriteStartArray("stages");
        foreach (StageSummary stage in inspection.Stages)
        {
            json.WriteStartObject();
            json.WriteString("stage", stage.Stage);
            json.WriteNumber("tensors", stage.Tensors);
            json.WriteNumber("parameters", stage.Parameters);
            json.WriteNumber("bytes", stage.Bytes);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        if (tensors) WriteTensors(json, inspection.Tensors);
        json.Texts("lora_targets", inspection.LoraTargets);
        json.Texts("unused", inspection.Tensors.Where(tensor => !tensor.Used).Select(tensor => tensor.Name));
        json.WriteStartArray("missing");
        foreach (MissingTensor missing in inspection.Missing)
        {
            json.WriteStartObject();
            json.WriteString("name", missing.Name);
            json.WriteString("shape", missing.Shape);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.Texts("problems", inspection.Problems);
    }

    private static void WriteConfig(Utf8JsonWriter json, ModelCheckpoint checkpoint)
    {
        VisionConfig vision = checkpoint.Vision;
        json.Object("vision", () =>
        {
            json.WriteNumber("image_size", vision.ImageSize);
            json.WriteNumber("patch_size", vision.PatchSize);
            json.WriteNumber("hidden_size", vision.HiddenSize);
            json.WriteNumber("intermediate_size", vision.IntermediateSize);
            json.WriteNumber("layers", vision.Layers);
            json.WriteNumber("heads", vision.Heads);
            json.WriteNumber("selected_layer", checkpoint.Multimodal.SelectLayer);
        });
        DecoderConfig decoder = checkpoint.Decoder;
        json.Object("decoder", () =>
        {
            json.WriteNumber("hidden_size", decoder.HiddenSize);
            json.WriteNumber("intermediate_size", decoder.IntermediateSize);
            json.WriteNumber("layers", decoder.Layers);
            json.WriteNumber("heads", decoder.Heads);
            json.WriteNumber("kv_heads", decoder.KvHeads);
            json.WriteNumber("head_dim", decoder.HeadDim);
            json.WriteNumber("vocabulary", decoder.VocabularySize);
            json.WriteNumber("context", decoder.ContextLength);
        });
        MultimodalConfig multimodal = checkpoint.Multimodal;
        json.Object("pictures", () =>
        {
            json.WriteString("aspect_ratio", multimodal.ImageAspectRatio);
            json.WriteString("patch_merge_type", multimodal.PatchMergeType.ToString());
            json.WriteString("projector", multimodal.ProjectorType);
            json.WriteNumber("spatial_tokens", checkpoint.Spatial.Tokens);
            json.WriteNumber("patches", vision.Grid * vision.Grid);
        });
    }

    private static void WriteTensors(Utf8JsonWriter json, IReadOnlyList<InspectedTensor> tensors)
    {
        json.WriteStartArray("tensors");
        foreach (InspectedTensor tensor in tensors)
        {
            json.WriteStartObject();
            json.WriteString("name", tensor.Name);
            json.WriteString("stored_name", tensor.Stored.Name);
            json.WriteString("stage", tensor.Stage);
            json.WriteString("dtype", tensor.Stored.DType.ToString());
            json.WriteStartArray("shape");
            foreach (long size in tensor.Stored.Shape) json.WriteNumberValue(size);
            json.WriteEndArray();
            json.WriteString("file", tensor.File);
            json.WriteBoolean("used", tensor.Used);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }
}
