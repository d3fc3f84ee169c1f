using LlavaSp.Checkpoints;
using LlavaSp.Text;
using TorchSharp;
using static TorchSharp.torch;

namespace LlavaSp.TrainDemo.Model;

/// <summary>LLaVA-SP as a whole.</summary>
/// <param name="weights">Its tensors.</param>
/// <param name="vision">Shapes of the vision tower.</param>
/// <param name="spatial">Which spatial tokens.</param>
internal sealed class LlavaSpNet(NamedWeights weights, VisionConfig vision, SpatialConfig spatial)
{
    /// <summary>Spatial tokens, then patch tokens, [n, tokens + patches, hidden], of patch features [n, patches, width].</summary>
    public Tensor ImageTokens(Tensor features)
    {
        Tensor patches = weights.Linear("model.mm_projector.2", nn.functional.gelu(weights.Linear("model.mm_projector.0", features)));
        if (spatial.Mode is null) return patches;
        return cat([SpatialTokens.Forward(weights, spatial, vision, features), patches], 1);
    }

    /// <summary>Embeddings [1, t, hidden] of a prompt; every -200 among its ids becomes the tokens of one picture.</summary>
    /// <param name="ids">Ids.</param>
    /// <param name="images">Tokens of the pictures [n, tokens, hidden].</param>
    public Tensor Splice(IReadOnlyList<int> ids, Tensor images)
    {
        var parts = new List<Tensor>();
        int picture = 0;
        for (int i = 0; i < ids.Count;)
        {
            if (ids[i] == ImageToken.Id)
            {
                parts.Add(images[picture++]);
                i++;
                continue;
            }

            long[] text = [.. ids.Skip(i).TakeWhile(static id => id != ImageToken.Id).Select(static id => (long)id)];
            parts.Add(Decoder.Embed(weights, tensor(text)));
            i += text.Length;
        }

        return cat(parts, 0).unsqueeze(0);
    }
}
