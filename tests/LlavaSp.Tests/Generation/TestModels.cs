using System.Collections.Concurrent;
using System.Text.Json.Nodes;
using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Generation;
using LlavaSp.Imaging;
using LlavaSp.Tests.Checkpoints;
using LlavaSp.Text;

namespace LlavaSp.Tests.Generation;

/// <summary>Models on the reference backend, loaded once for all tests, and prompts for them.</summary>
internal static class TestModels
{
    private static readonly ConcurrentDictionary<string, Lazy<LlavaSpModel>> Loaded = new();

    public static string VisionTower => Goldens.Checkpoint("openai/clip-vit-tiny-patch14-336");

    /// <summary>The checkpoint in float32 with a float32 cache: a decode step and a prefill give the same bits.</summary>
    public static LlavaSpModel Reference(string checkpoint = "pooling-f32") =>
        Loaded.GetOrAdd(checkpoint, name => new Lazy<LlavaSpModel>(() => LlavaSpModel.Load(Goldens.Checkpoint(name), Options()))).Value;

    public static LoadOptions Options() => new()
    {
        Device = new DeviceOptions("reference"),
        VisionTower = VisionTower,
        KvFormat = KvFormat.F32,
        Weights = Quantization.WeightFormat.F32,
    };

    /// <summary>A model of its own on a watched backend.</summary>
    public static LlavaSpModel Probed(out ProbeBackend probe)
    {
        var backend = probe = new ProbeBackend();
        using ModelCheckpoint checkpoint = ModelCheckpoint.Open(new ModelLocation(Goldens.Checkpoint("pooling-f32")));
        return LlavaSpModel.Load(checkpoint, LlavaTokenizer.Load(checkpoint.TokenizerFolder), Options(), 0, _ => backend);
    }

    public static PreparedImage Image(LlavaSpModel model, char letter) => model.Prepare(ImageDecoder.Decode(Goldens.Image(letter)));

    public static GenerationRequest Request(int[] ids, int tokens = 6, params PreparedImage[] images) =>
        new() { PromptIds = ids, Images = images, MaxNewTokens = tokens, IgnoreEnd = true };

    /// <summary>What a session that never saw anything else answers, and the logits that it ends with.</summary>
    public static (GenerationResult Result, float[] Logits) Fresh(LlavaSpModel model, GenerationRequest request, int context = 1400)
    {
        using LlavaSpSession session = model.CreateSession(context);
        return (session.Generate(request), session.Runner.Logits.ToArray());
    }

    /// <summary>Asserts that the session answers as a fresh one does, to the last bit of the logits.</summary>
    public static GenerationResult SameAsFresh(LlavaSpModel model, LlavaSpSession session, GenerationRequest request)
    {
        GenerationResult result = session.Generate(request);
        (GenerationResult fresh, float[] logits) = Fresh(model, request, session.ContextLength);
        Assert.Equal(0, fresh.ReusedLength);
        Assert.Equal(fresh.Ids, result.Ids);
        Assert.Equal(fresh.Text, result.Text);
        Assert.Equal(fresh.FinishReason, result.FinishReason);
        Assert.Equal(0, TensorComparison.Difference(logits, session.Runner.Logits.ToArray()));
        return result;
    }

    /// <summary>A copy of a golden checkpoint with another config.json.</summary>
    public static TemporaryFolder Edited(string checkpoint, Action<JsonObject> config, Action<JsonObject>? generationConfig = null)
    {
        var folder = new TemporaryFolder();
        foreach (string file in Directory.GetFiles(Goldens.Checkpoint(checkpoint))) File.Copy(file, folder[Path.GetFileName(file)]);
        Edit("config.json", config);
        if (generationConfig is not null) Edit("generation_config.json", generationConfig);
        return folder;

        void Edit(string name, Action<JsonObject> edit)
        {
            var json = (JsonObject)JsonNode.Parse(File.ReadAllText(folder[name]))!;
            edit(json);
            folder.Write(name, json.ToJsonString());
        }
    }
}
