using System.Text;
using CsCheck;
using LlavaSp.Checkpoints;

namespace LlavaSp.Tests.Checkpoints;

public sealed class DecoderConfigTests
{
    [Fact]
    public void MissingFieldsTakeTheDefaultsOfLlamaConfig() => Assert.Equal(
        new DecoderConfig
        {
            HiddenSize = 4096,
            IntermediateSize = 11008,
            Layers = 32,
            Heads = 32,
            KvHeads = 32,
            HeadDim = 128,
            VocabularySize = 32000,
            MaxPositions = 2048,
            NormEpsilon = 1e-6f,
            RopeTheta = 10000,
            RopeScaling = RopeScalingKind.None,
            RopeFactor = 1,
            TieWordEmbeddings = false,
        },
        Parse("{}"));

    [Fact]
    public void FieldsAreRead()
    {
        DecoderConfig config = Parse(
            """
            {"hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40, "num_attention_heads": 40, "num_key_value_heads": 8, "vocab_size": 32064,
             "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "rope_theta": 1e6, "tie_word_embeddings": true, "hidden_act": "silu", "rope_scaling": null,
             "sliding_window": null, "head_dim": null, "mlp_bias": false, "\ud83d\ude00": "\ud83d\ude00"}
            """);
        Assert.Equal(
            new DecoderConfig
            {
                HiddenSize = 5120,
                IntermediateSize = 13824,
                Layers = 40,
                Heads = 40,
                KvHeads = 8,
                HeadDim = 128,
                VocabularySize = 32064,
                MaxPositions = 4096,
                NormEpsilon = 1e-5f,
                RopeTheta = 1e6,
                TieWordEmbeddings = true,
            },
            config);
        Assert.Equal(4096, config.ContextLength);
        Assert.Equal(256, Parse("""{"hidden_size": 3072, "num_attention_heads": 7, "head_dim": 256}""").HeadDim);
    }

    [Theory]
    [InlineData("""{"type": "linear", "factor": 2}""", RopeScalingKind.Linear, 2, 4096)]
    [InlineData("""{"type": "dynamic", "factor": 4.5}""", RopeScalingKind.Dynamic, 4.5, 9216)]
    [InlineData("""{"rope_type": "linear", "factor": 8.0}""", RopeScalingKind.Linear, 8, 16384)]
    [InlineData("""{"rope_type": "default"}""", RopeScalingKind.None, 1, 2048)]
    [InlineData("""{"type": "linear", "factor": 1}""", RopeScalingKind.Linear, 1, 2048)]
    public void ScalingStretchesTheContext(string scaling, RopeScalingKind kind, double factor, int context)
    {
        DecoderConfig config = Parse($"{{\"rope_scaling\": {scaling}}}");
        Assert.Equal((kind, factor, 2048, context), (config.RopeScaling, config.RopeFactor, config.MaxPositions, config.ContextLength));
    }

    [Fact]
    public void ASlidingWindowBoundsTheContextAndNothingElse()
    {
        DecoderConfig mistral = Parse("""{"max_position_embeddings": 32768, "sliding_window": 4096}""");
        Assert.Equal((32768, 4096), (mistral.MaxPositions, mistral.ContextLength));
        Assert.Equal(2048, Parse("""{"sliding_window": 4096}""").ContextLength);
        DecoderConfig stretched = Parse("""{"sliding_window": 2048, "rope_scaling": {"type": "dynamic", "factor": 4}}""");
        Assert.Equal((2048, 2048), (stretched.MaxPositions, stretched.ContextLength));
        Assert.Equal(1 << 24, Parse("""{"max_position_embeddings": 16777216, "rope_scaling": {"type": "linear", "factor": 1024}}""").ContextLength);
    }

    [Theory]
    [InlineData("""{"hidden_size": 0}""", "hidden_size")]
    [InlineData("""{"hidden_size": -4096}""", "hidden_size")]
    [InlineData("""{"hidden_size": 1e3}""", "hidden_size")]
    [InlineData("""{"hidden_size": 4096.5}""", "hidden_size")]
    [InlineData("""{"hidden_size": 99999999999999}""", "hidden_size")]
    [InlineData("""{"hidden_size": 65537}""", "hidden_size")]
    [InlineData("""{"hidden_size": "4096"}""", "hidden_size")]
    [InlineData("""{"hidden_size": 100, "num_attention_heads": 3}""", "num_attention_heads")]
    [InlineData("""{"hidden_size": 96, "num_attention_heads": 32}""", "odd")]
    [InlineData("""{"head_dim": 3}""", "odd")]
    [InlineData("""{"head_dim": 0}""", "head_dim")]
    [InlineData("""{"num_attention_heads": 0}""", "num_attention_heads")]
    [InlineData("""{"num_key_value_heads": 0}""", "num_key_value_heads")]
    [InlineData("""{"num_key_value_heads": 64}""", "num_key_value_heads")]
    [InlineData("""{"num_key_value_heads": 5}""", "num_key_value_heads")]
    [InlineData("""{"num_hidden_layers": 0}""", "num_hidden_layers")]
    [InlineData("""{"num_hidden_layers": 1000000}""", "num_hidden_layers")]
    [InlineData("""{"vocab_size": 0}""", "vocab_size")]
    [InlineData("""{"intermediate_size": []}""", "intermediate_size")]
    [InlineData("""{"max_position_embeddings": 0}""", "max_position_embeddings")]
    [InlineData("""{"sliding_window": 0}""", "sliding_window")]
    [InlineData("""{"rms_norm_eps": 0}""", "rms_norm_eps")]
    [InlineData("""{"rms_norm_eps": -1e-5}""", "rms_norm_eps")]
    [InlineData("""{"rope_theta": 1e999}""", "rope_theta")]
    [InlineData("""{"rope_theta": 1e300}""", "rope_theta")]
    [InlineData("""{"rms_norm_eps": 1e300}""", "rms_norm_eps")]
    [InlineData("""{"rope_theta": null, "hidden_act": "gelu"}""", "hidden_act")]
    [InlineData("""{"hidden_act": "\ud800"}""", "half a character")]
    [InlineData("""{"other": [{"\udc00x": 1}]}""", "half a character")]
    [InlineData("""{"mlp_bias": true}""", "mlp_bias")]
    [InlineData("""{"tie_word_embeddings": 1}""", "tie_word_embeddings")]
    [InlineData("""{"rope_scaling": 2}""", "rope_scaling")]
    [InlineData("""{"rope_scaling": {}}""", "not supported")]
    [InlineData("""{"rope_scaling": {"type": "linear"}}""", "factor")]
    [InlineData("""{"rope_scaling": {"type": "linear", "factor": 0.5}}""", "factor")]
    [InlineData("""{"rope_scaling": {"type": "dynamic", "factor": 0}}""", "factor")]
    [InlineData("""{"rope_scaling": {"type": "dynamic", "factor": 1e12}}""", "factor")]
    [InlineData("""{"rope_scaling": {"type": "yarn", "factor": 2}}""", "yarn")]
    [InlineData("""{"rope_scaling": {"rope_type": "llama3", "factor": 8}}""", "llama3")]
    public void ImpossibleValuesAreRefusedByName(string json, string name) =>
        CheckpointFiles.Refuses(() => Parse(json), "config.json", name);

    [Fact]
    public void NoConfigEscapesAsAnotherException()
    {
        string[] names =
        [
            "hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim", "vocab_size", "max_position_embeddings", "sliding_window", "rms_norm_eps",
            "rope_theta", "tie_word_embeddings", "hidden_act", "rope_scaling", "intermediate_size",
        ];
        string[] values =
        [
            "0", "-1", "1", "2", "3", "64", "4096", "2147483647", "2147483648", "1e400", "-0.0", "0.5", "null", "true", "[]", "[1]", "{}", "\"silu\"", "\"\"",
            "\"\\u0000\"", "\"\\udfff\"", "{\"type\":\"dynamic\",\"factor\":2}", "{\"type\":[]}", "{\"type\":\"linear\",\"factor\":\"2\"}",
        ];
        Gen.Select(Gen.OneOf(names), Gen.OneOf(values)).Array[0, 6].Sample(
            fields =>
            {
                try
                {
                    DecoderConfig config = Parse($"{{{string.Join(',', fields.Select(field => $"\"{field.Item1}\":{field.Item2}"))}}}");
                    Assert.True(config.Heads % config.KvHeads == 0 && config.HeadDim % 2 == 0 && config.ContextLength >= 1);
                }
                catch (CheckpointException e)
                {
                    Assert.StartsWith("config.json", e.Message, StringComparison.Ordinal);
                }
            },
            iter: 5000);
    }

    private static DecoderConfig Parse(string json) => DecoderConfig.Parse(JsonConfig.Parse(Encoding.UTF8.GetBytes(json), "config.json"));
}
