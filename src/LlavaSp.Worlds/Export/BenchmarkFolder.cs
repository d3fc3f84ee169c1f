using System.Text.Json;
using LlavaSp.Imaging;
using LlavaSp.Worlds.Questions;
using LlavaSp.Worlds.Rendering;
using LlavaSp.Worlds.Scenes;
using SkiaSharp;

namespace LlavaSp.Worlds.Export;

/// <summary>
/// Writes scenes as a benchmark that <c>eval</c> runs: <c>images/</c>, <c>questions.jsonl</c> in LLaVA's form, <c>answers.jsonl</c> with the right answers,
/// <c>truth.json</c> in GQA's form, and <c>existence.jsonl</c>, which POPE's score takes both as questions and as annotations.
/// </summary>
public static class BenchmarkFolder
{
    /// <summary>Writes a range of a split's scenes.</summary>
    /// <param name="folder">Folder to write to; made where it is not there.</param>
    /// <param name="split">The split.</param>
    /// <param name="first">First scene.</param>
    /// <param name="count">Scenes.</param>
    /// <param name="side">Pixels along an edge.</param>
    /// <param name="onScene">Called behind each scene.</param>
    public static void Write(string folder, Split split, int first, int count, int side = SceneRenderer.DefaultSide, Action? onScene = null)
    {
        ArgumentNullException.ThrowIfNull(folder);
        Directory.CreateDirectory(Path.Combine(folder, "images"));
        using StreamWriter questions = Lines("questions.jsonl"), answers = Lines("answers.jsonl"), existence = Lines("existence.jsonl");
        using FileStream truthFile = File.Create(Path.Combine(folder, "truth.json"));
        using var truth = new Utf8JsonWriter(truthFile);
        truth.WriteStartObject();
        for (int i = first; i < first + count; i++)
        {
            string image = $"{i:D6}.png";
            File.WriteAllBytes(Path.Combine(folder, "images", image), Png(SceneRenderer.Render(World.Scene(split, i), side)));
            int place = 0;
            foreach (Question question in World.Questions(split, i))
            {
                string id = $"{i:D6}-{place++:D2}", family = Name(question.Family);
                questions.Write(Line(("question_id", id), ("image", image), ("text", question.Text), ("category", family)));
                answers.Write(Line(("question_id", id), ("prompt", question.Text), ("text", question.Answer), ("answer_id", id), ("model_id", "truth")));
                WriteTruth(truth, id, question);
                if (question.Family != QuestionFamily.Existence) continue;
                existence.Write(Line(
                    ("question_id", id), ("image", image), ("text", question.Text), ("category", question.Category), ("label", question.Answer)));
            }

            onScene?.Invoke();
        }

        truth.WriteEndObject();

        StreamWriter Lines(string name) => new(Path.Combine(folder, name)) { NewLine = "\n" };
    }

    /// <summary>A picture as PNG.</summary>
    public static byte[] Png(RgbImage image)
    {
        ArgumentNullException.ThrowIfNull(image);
        using var bitmap = new SKBitmap(new SKImageInfo(image.Width, image.Height, SKColorType.Rgba8888, SKAlphaType.Opaque));
        image.ToRgba().CopyTo(bitmap.GetPixelSpan());
        using SKPixmap pixmap = bitmap.PeekPixels()!;
        using SKData data = pixmap.Encode(SKEncodedImageFormat.Png, 100)!;
        return data.ToArray();
    }

    // GQA's rule compares in lower case, letter for letter: captions too have one right wording and order.
    private static void WriteTruth(Utf8JsonWriter truth, string id, Question question)
    {
        truth.WriteStartObject(id);
        truth.WriteString("answer", question.Answer.ToLowerInvariant());
        truth.WriteBoolean("isBalanced", true);
        truth.WriteStartObject("types");
        truth.WriteString("structural", question.Answer is "yes" or "no" ? "verify" : "query");
        truth.WriteString("semantic", Name(question.Family));
        truth.WriteEndObject();
        truth.WriteBoolean("heldOut", question.InvolvesHeldOut);
        truth.WriteEndObject();
    }

    private static string Name(QuestionFamily family) => family.ToString().ToLowerInvariant();

    private static string Line(params (string Name, string Value)[] fields)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream))
        {
            json.WriteStartObject();
            foreach (var (name, value) in fields) json.WriteString(name, value);
            json.WriteEndObject();
        }

        return System.Text.Encoding.UTF8.GetString(stream.ToArray()) + "\n";
    }
}
