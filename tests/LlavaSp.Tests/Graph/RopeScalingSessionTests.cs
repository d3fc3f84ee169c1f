using System.Text.Json.Nodes;
using LlavaSp.Generation;
using LlavaSp.Tests.Checkpoints;
using LlavaSp.Tests.Generation;

namespace LlavaSp.Tests.Graph;

/// <summary>Sessions of models whose rotary positions are stretched: what the cache holds is taken up only where its keys are the right ones.</summary>
public sealed class RopeScalingSessionTests
{
    private const int Trained = 24;
    private static readonly int[] Text = [1, .. Enumerable.Range(0, 60).Select(i => 30 + 7 * i % 400)];

    [Fact]
    public void DynamicScalingForbidsReuseOnceTheBaseChanged()
    {
        using TemporaryFolder folder = Scaled("dynamic", 4);
        using LlavaSpModel model = LlavaSpModel.Load(folder.Root, TestModels.Options());
        Assert.Equal(96, model.Checkpoint.Decoder.ContextLength);
        using LlavaSpSession session = model.CreateSession();

        Assert.Equal(0, Reused(10, 4));
        Assert.Equal(10, Reused(12, 4));
        // All of a prompt beyond the trained length takes another base than what the cache holds.
        Assert.Equal(0, Reused(30, 4));
        Assert.Equal(0, Reused(40, 4));
        // And the other way round.
        Assert.Equal(0, Reused(12, 4));
        Assert.Equal(12, Reused(14, 4));
        // An answer that passes the trained length leaves keys of several bases.
        Assert.Equal(14, Reused(20, 10));
        Assert.Equal(0, Reused(20, 10));
        Assert.Equal(0, Reused(Trained, 2));
        Assert.Equal(0, Reused(Trained, 1));
        Assert.Equal(Trained - 1, Reused(Trained, 1));

        int Reused(int length, int tokens) => TestModels.SameAsFresh(model, session, TestModels.Request(Text[..length], tokens)).ReusedLength;
    }

    [Fact]
    public void LinearScalingDoesNot()
    {
        using TemporaryFolder folder = Scaled("linear", 2);
        using LlavaSpModel model = LlavaSpModel.Load(folder.Root, TestModels.Options());
        Assert.Equal(48, model.Checkpoint.Decoder.ContextLength);
        using LlavaSpSession session = model.CreateSession();
        TestModels.SameAsFresh(model, session, TestModels.Request(Text[..20], 4));
        Assert.Equal(20, TestModels.SameAsFresh(model, session, TestModels.Request(Text[..40], 4)).ReusedLength);
        Assert.Equal(FinishReason.Context, session.Generate(TestModels.Request(Text[..48], 4)).FinishReason);
    }

    [Fact]
    public void ScalingChangesLogitsWhereItShould()
    {
        using LlavaSpModel plain = LlavaSpModel.Load(Goldens.Checkpoint("pooling-f32"), TestModels.Options());
        using TemporaryFolder folder = Scaled("dynamic", 4);
        using LlavaSpModel scaled = LlavaSpModel.Load(folder.Root, TestModels.Options());
        Assert.Equal(0, Difference(Trained));
        Assert.True(Difference(Trained + 1) > 1e-3f);

        float Difference(int length) => TensorComparison.Difference(
            TestModels.Fresh(plain, TestModels.Request(Text[..length], 1), 90).Logits,
            TestModels.Fresh(scaled, TestModels.Request(Text[..length], 1), 90).Logits);
    }

    private static TemporaryFolder Scaled(string type, double factor) => TestModels.Edited("pooling-f32", config =>
    {
        config["max_position_embeddings"] = Trained;
        config["rope_scaling"] = new JsonObject { ["type"] = type, ["factor"] = factor };
    });
}
