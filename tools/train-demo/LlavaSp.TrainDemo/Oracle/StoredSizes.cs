using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.TrainDemo.Model;

namespace LlavaSp.TrainDemo.Oracle;

/// <summary>The sizes of a checkpoint: of its tensors, and of its config where they do not show.</summary>
internal static class StoredSizes
{
    public static ModelSizes Of(ModelCheckpoint checkpoint, NamedWeights weights)
    {
        VisionConfig vision = checkpoint.Vision;
        DecoderConfig decoder = checkpoint.Decoder;
        long[] patches = Shape(VisionTower.Prefix + "embeddings.patch_embedding.weight"), inner = Shape(VisionTower.Prefix + "encoder.layers.0.mlp.fc1.weight");
        int grid = (int)Math.Sqrt(Shape(VisionTower.Prefix + "embeddings.position_embedding.weight")[0] - 1);
        int select = checkpoint.Multimodal.SelectLayer < 0 ? checkpoint.Multimodal.SelectLayer : checkpoint.Multimodal.SelectLayer - vision.Layers - 1;
        long[] embeddings = Shape("model.embed_tokens.weight"), gate = Shape("model.layers.0.mlp.gate_proj.weight");
        return new ModelSizes(
            new VisionSizes(grid * (int)patches[2], (int)patches[2], (int)patches[0], (int)inner[0], vision.Heads, vision.Layers, select),
            Spatial(weights),
            new DecoderSizes(
                (int)embeddings[0], (int)embeddings[1], (int)gate[0], decoder.Heads, decoder.KvHeads, decoder.Layers, decoder.NormEpsilon, (float)decoder.RopeTheta));

        long[] Shape(string name) => weights[name].shape;
    }

    private static SpatialSizes Spatial(NamedWeights weights)
    {
        var kernels = weights.All
            .Where(pair => pair.Key.StartsWith("model.conv_", StringComparison.Ordinal) && pair.Value.dim() == 4 && pair.Key != "model.conv_CM.weight")
            .Select(pair => (int)pair.Value.shape[2]).Order().ToArray();
        if (kernels.Length == 0) return new SpatialSizes(SpatialVariant.None, [], 0, 0);
        bool cropping = weights.Has("model.conv_CM.weight");
        int width = (int)weights[cropping ? "model.query_projector.1.weight" : $"model.conv_{kernels[^1]}.weight"].shape[0];
        return new SpatialSizes(
            cropping ? SpatialVariant.Cropping : SpatialVariant.Pooling, kernels, width, cropping ? (int)weights["model.conv_CM.weight"].shape[2] : 0);
    }
}
