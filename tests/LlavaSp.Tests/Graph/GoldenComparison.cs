using System.Text.Json;
using LlavaSp.Checkpoints;

namespace LlavaSp.Tests.Graph;

/// <summary>Bounds of a comparison with the goldens.</summary>
/// <param name="Features">Largest difference of pixels, features and embeddings.</param>
/// <param name="Hidden">Largest difference of hidden states.</param>
/// <param name="Logits">Largest difference of logits.</param>
/// <param name="ExactIds">Whether greedy ids must be equal.</param>
internal sealed record GoldenBounds(float Features, float Hidden, float Logits, bool ExactIds)
{
    /// <summary>What the issue of the goldens asks of float32.</summary>
    public static GoldenBounds Float32 => new(1e-4f, 1e-3f, 1e-3f, true);
}

/// <summary>Compares a trace file with the goldens of a prompt, tensor by tensor.</summary>
internal static class GoldenComparison
{
    /// <summary>Names of the prompts of a checkpoint.</summary>
    public static IEnumerable<string> Prompts(string checkpoint)
    {
        using JsonDocument document = Load(checkpoint);
        // The other entries ("anyres.a") hold lengths.
        return [.. document.RootElement.EnumerateObject().Where(entry => entry.Value.TryGetProperty("input_ids", out _)).Select(entry => entry.Name)];
    }

    /// <summary>Pictures of a prompt, as letters.</summary>
    public static char[] Images(string checkpoint, string prompt)
    {
        using JsonDocument document = Load(checkpoint);
        return [.. document.RootElement.GetProperty(prompt).GetProperty("images").EnumerateArray().Select(image => image.GetString()![0])];
    }

    /// <summary>Ids of a prompt.</summary>
    public static int[] Ids(string checkpoint, string prompt)
    {
        using JsonDocument document = Load(checkpoint);
        return [.. document.RootElement.GetProperty(prompt).GetProperty("input_ids").EnumerateArray().Select(id => id.GetInt32())];
    }

    /// <summary>Greedy steps that the goldens hold; 0 for a prompt without.</summary>
    public static int Steps(string checkpoint, string prompt)
    {
        using JsonDocument document = Load(checkpoint);
        return document.RootElement.GetProperty(prompt).TryGetProperty("greedy_steps", out JsonElement steps) ? steps.GetInt32() : 0;
    }

    /// <summary>Asserts that everything that the goldens hold for this prompt and its pictures agrees.</summary>
    /// <returns>Number of tensors compared.</returns>
    public static int Check(string checkpoint, string prompt, ITensorSource trace, GoldenBounds bounds)
    {
        int compared = ComparePrompt(checkpoint, prompt, trace, bounds);
        char[] images = Images(checkpoint, prompt);
        for (int i = 0; i < images.Length; i++) compared += ComparePicture(checkpoint, images[i], $"{(char)('a' + i)}.", trace, bounds);
        return compared;
    }

    private static int ComparePrompt(string checkpoint, string prompt, ITensorSource trace, GoldenBounds bounds)
    {
        using SafetensorsFile golden = SafetensorsFile.Open(Goldens.Golden(checkpoint, "prompts.safetensors"));
        string p = $"{prompt}.";
        Assert.Equal(TensorComparison.Ids(golden, $"{p}input_ids"), TensorComparison.Ids(trace, "input_ids"));
        int compared = 1;
        int[] positions = TensorComparison.Ids(golden, $"{p}positions");
        compared += Compare($"{p}inputs_embeds", "inputs_embeds", $"{p}inputs_embeds_rows", bounds.Features);
        compared += Compare($"{p}logits", "logits", null, bounds.Logits, positions);
        if (golden.Tensors.ContainsKey($"{p}hidden")) compared += CompareHidden();
        if (golden.Tensors.ContainsKey($"{p}greedy_ids")) compared += CompareGreedy();
        return compared;

        int Compare(string name, string traced, string? rowsName, float bound, int[]? rows = null)
        {
            if (!golden.Tensors.TryGetValue(name, out TensorInfo? info)) return 0;
            if (rowsName is not null && golden.Tensors.ContainsKey(rowsName)) rows = TensorComparison.Ids(golden, rowsName);
            float[] actual = TensorComparison.Floats(trace, traced);
            if (rows is not null) actual = TensorComparison.Rows(actual, (int)info.Shape[^1], rows);
            Within(name, TensorComparison.Difference(TensorComparison.Floats(golden, name), actual), bound);
            return 1;
        }

        int CompareHidden()
        {
            long[] shape = trace.Tensors["hidden"].Shape;
            int layers = (int)shape[0], n = (int)shape[1], d = (int)shape[2];
            float[] actual = TensorComparison.Rows(
                TensorComparison.Floats(trace, "hidden"), d, Enumerable.Range(0, layers).SelectMany(layer => positions.Select(position => layer * n + position)));
            Within($"{p}hidden", TensorComparison.Difference(TensorComparison.Floats(golden, $"{p}hidden"), actual), bounds.Hidden);
            return 1;
        }

        int CompareGreedy()
        {
            int[] expected = TensorComparison.Ids(golden, $"{p}greedy_ids"), actual = TensorComparison.Ids(trace, "greedy_ids");
            if (bounds.ExactIds) Assert.Equal(expected, actual);
            int vocabulary = (int)golden.Tensors[$"{p}greedy_logits"].Shape[1];
            int same = expected.Zip(actual).TakeWhile(pair => pair.First == pair.Second).Count();
            // Logits of a step are comparable as long as the tokens before it are the same.
            int steps = Math.Min((int)golden.Tensors[$"{p}greedy_logits"].Shape[0], same + 1);
            Within(
                $"{p}greedy_logits",
                TensorComparison.Difference(
                    TensorComparison.Floats(golden, $"{p}greedy_logits").AsSpan(0, steps * vocabulary),
                    TensorComparison.Floats(trace, "greedy_logits").AsSpan(0, steps * vocabulary)),
                bounds.Logits);
            return 2;
        }
    }

    private static int ComparePicture(string checkpoint, char image, string prefix, ITensorSource trace, GoldenBounds bounds)
    {
        string features = Goldens.Golden(checkpoint, "features.safetensors");
        using SafetensorsFile golden = SafetensorsFile.Open(File.Exists(features) ? features : Goldens.Golden(checkpoint, "anyres.safetensors"));
        int compared = 0;
        foreach (TensorInfo info in golden.Tensors.Values)
        {
            string name = info.Name;
            // Crops are never held, and the other merge types need another config: both have tests of their own.
            if (!name.StartsWith($"{image}.", StringComparison.Ordinal) || name.EndsWith("_rows", StringComparison.Ordinal)
                || name.Contains("crop_corner", StringComparison.Ordinal) || name.Contains(".spatial.", StringComparison.Ordinal)
                || name.Contains(".flat.", StringComparison.Ordinal)) continue;
            string traced = prefix + name[2..];
            if (!trace.Tensors.ContainsKey(traced)) Assert.Contains("sp.", name, StringComparison.Ordinal);
            if (!trace.Tensors.ContainsKey(traced)) continue;
            float[] actual = TensorComparison.Floats(trace, traced);
            if (golden.Tensors.ContainsKey($"{name}_rows"))
                actual = TensorComparison.Rows(actual, (int)info.Shape[^1], TensorComparison.Ids(golden, $"{name}_rows"));
            Within(name, TensorComparison.Difference(TensorComparison.Floats(golden, name), actual), bounds.Features);
            compared++;
        }

        return compared;
    }

    private static void Within(string name, float difference, float bound) =>
        Assert.True(difference <= bound, $"{name}: largest difference {difference:g3}, allowed {bound:g3}");

    private static JsonDocument Load(string checkpoint) => JsonDocument.Parse(File.ReadAllBytes(Goldens.Golden(checkpoint, "prompts.json")));
}
