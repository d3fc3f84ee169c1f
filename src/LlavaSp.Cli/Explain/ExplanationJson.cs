using System.Text.Json;
using LlavaSp.Cli.Output;
using LlavaSp.Cli.Running;
using LlavaSp.Explanation;
using LlavaSp.Imaging;

namespace LlavaSp.Cli.Explain;

/// <summary>The numbers of an explanation.</summary>
internal static class ExplanationJson
{
    /// <summary>Writes the fields of one object.</summary>
    /// <param name="json">Where to.</param>
    /// <param name="model">The model.</param>
    /// <param name="explanation">What it answered, and from what.</param>
    /// <param name="files">The PNG of each picture.</param>
    /// <param name="layers">Layers to write, null for their mean.</param>
    public static void Write(
        Utf8JsonWriter json, LoadedModel model, AnswerExplanation explanation, IReadOnlyList<string> files, IReadOnlyList<int?> layers)
    {
        json.WriteString("answer", explanation.Answer.Text);
        json.WriteStartArray("pictures");
        for (int i = 0; i < files.Count; i++) WritePicture(json, explanation.Pictures[i], files[i]);
        json.WriteEndArray();
        json.WriteStartArray("words");
        foreach (AnswerWord word in explanation.Words)
        {
            json.WriteStartObject();
            json.WriteString("text", word.Text);
            json.WriteNumber("first_token", word.First);
            json.WriteNumber("tokens", word.Count);
            json.WriteStartArray("attention");
            foreach (int? layer in layers) WriteAttention(json, explanation, explanation.AttentionOf(word, layer), layer);
            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
        AnswerJson.WriteModel(json, model);
    }

    private static void WritePicture(Utf8JsonWriter json, PictureExplanation picture, string file)
    {
        json.WriteStartObject();
        json.WriteString("out", file);
        json.WriteNumber("width", picture.Width);
        json.WriteNumber("height", picture.Height);
        json.WriteStartArray("spatial_tokens");
        foreach (SpatialTokenView token in picture.SpatialTokens)
        {
            json.WriteStartObject();
            json.WriteNumber("tile", token.Tile);
            json.WriteNumber("kernel", token.KernelSize);
            json.WriteString("variant", token.Mode.ToString().ToLowerInvariant());
            WriteRegion(json, "region", token.Region);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteStartArray("detail_fusion");
        foreach (DetailFusionView fusion in picture.DetailFusion)
        {
            json.WriteStartObject();
            json.WriteNumber("tile", fusion.Tile);
            json.WriteStartArray("positions");
            foreach (PictureRegion region in fusion.Regions) WriteRegion(json, null, region);
            json.WriteEndArray();
            json.WriteStartArray("shares");
            for (int first = 0; first < fusion.Shares.Length; first += fusion.Regions.Count)
                WriteShares(json, null, fusion.Shares.AsSpan(first, fusion.Regions.Count));
            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteStartArray("patches");
        foreach (PicturePosition position in picture.Positions)
            if (position.Region is { } region) WriteRegion(json, null, region);
        json.WriteEndArray();
        json.WriteEndObject();
    }

    // What a word attends to: of each picture the spatial tokens and the patches, in the order of the picture's own lists; the rest is text.
    private static void WriteAttention(Utf8JsonWriter json, AnswerExplanation explanation, float[] shares, int? layer)
    {
        json.WriteStartObject();
        if (layer is { } index) json.WriteNumber("layer", index + 1);
        else json.WriteString("layer", "mean");
        float seen = 0;
        json.WriteStartArray("pictures");
        foreach (PictureExplanation picture in explanation.Pictures)
        {
            var tokens = new float[picture.SpatialTokens.Count];
            var patches = new List<float>(picture.Positions.Count);
            for (int i = 0; i < picture.Positions.Count; i++)
            {
                float share = shares[picture.First + i];
                seen += share;
                if (picture.Positions[i].SpatialToken is >= 0 and var token) tokens[token] = share;
                else if (picture.Positions[i].Region is not null) patches.Add(share);
            }

            json.WriteStartObject();
            WriteShares(json, "spatial_tokens", tokens);
            WriteShares(json, "patches", patches.ToArray());
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteNumber("text", Math.Round(1.0 - seen, 5));
        json.WriteEndObject();
    }

    private static void WriteRegion(Utf8JsonWriter json, string? name, PictureRegion region)
    {
        if (name is null) json.WriteStartArray();
        else json.WriteStartArray(name);
        foreach (double edge in (ReadOnlySpan<double>)[region.Left, region.Top, region.Right, region.Bottom]) json.WriteNumberValue(Math.Round(edge, 1));
        json.WriteEndArray();
    }

    private static void WriteShares(Utf8JsonWriter json, string? name, ReadOnlySpan<float> shares)
    {
        if (name is null) json.WriteStartArray();
        else json.WriteStartArray(name);
        foreach (float share in shares) json.WriteNumberValue(Math.Round((double)share, 5));
        json.WriteEndArray();
    }
}
