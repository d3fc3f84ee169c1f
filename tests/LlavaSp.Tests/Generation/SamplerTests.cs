using CsCheck;
using LlavaSp.Generation;

namespace LlavaSp.Tests.Generation;

public sealed class SamplerTests
{
    private const float Infinity = float.PositiveInfinity;

    private static readonly Gen<float[]> Logits = Gen.OneOf(
        Gen.Float[-12, 12].Array[1, 60],
        // Ties of every kind.
        Gen.Int[-2, 2].Select(i => (float)i).Array[1, 60],
        Gen.OneOf(float.NegativeInfinity, -1f, 0f, 3f).Array[1, 40],
        Gen.OneOf(float.NegativeInfinity, Infinity, float.MaxValue, float.MinValue, 1e-30f).Array[1, 8]);

    private static readonly Gen<SamplingOptions> Options =
        from temperature in Gen.OneOf(Gen.Float[0.05f, 3], Gen.OneOf(1f, 1e-6f, 1e-38f, float.Epsilon, 100f))
        from topK in Gen.OneOf(Gen.Const(0), Gen.Int[1, 70])
        from topP in Gen.OneOf(Gen.Const(1f), Gen.Float[0.01f, 1])
        from minP in Gen.OneOf(Gen.Const(0f), Gen.Float[0, 1])
        from repetition in Gen.OneOf(Gen.Const(1f), Gen.Float[0.5f, 2])
        from frequency in Gen.OneOf(Gen.Const(0f), Gen.Float[-2, 2])
        from presence in Gen.OneOf(Gen.Const(0f), Gen.Float[-2, 2])
        from seed in Gen.Int
        select new SamplingOptions
        {
            Temperature = temperature,
            TopK = topK,
            TopP = topP,
            MinP = minP,
            RepetitionPenalty = repetition,
            FrequencyPenalty = frequency,
            PresencePenalty = presence,
            Seed = seed,
        };

    [Fact]
    public void ChoosesWhatTheOracleChooses() => Gen.Select(Logits, Options).Sample(
        (logits, options) =>
        {
            var sampler = new Sampler(options, logits.Length);
            var random = new Random(options.Seed!.Value);
            var history = new List<int>();
            for (int step = 0; step < 6; step++)
            {
                List<(int Id, double Probability)> distribution = SamplerOracle.Distribution(logits, history, options);
                bool certain = !float.IsFinite(SamplerOracle.Penalised(logits, history, options).Max());
                double point = certain ? 0 : random.NextDouble();
                int chosen = sampler.Choose(logits);
                // On a border the two may round to different sides.
                Assert.Contains(chosen, ((double[])[point - 1e-9, point, point + 1e-9]).Select(near => SamplerOracle.At(distribution, near)));
                history.Add(chosen);
            }
        },
        iter: 3000);

    [Fact]
    public void GreedyTakesTheFirstBestOfThePenalisedScores() => Gen.Select(Logits, Options).Sample(
        (logits, options) =>
        {
            SamplingOptions greedy = options with { Temperature = 0 };
            var sampler = new Sampler(greedy, logits.Length);
            var history = new List<int>();
            for (int step = 0; step < 5; step++)
            {
                float[] scores = SamplerOracle.Penalised(logits, history, greedy);
                int chosen = sampler.Choose(logits);
                Assert.Equal(Array.IndexOf(scores, scores.Max()), chosen);
                history.Add(chosen);
            }
        },
        iter: 1000);

    [Theory]
    [InlineData(1f, 0, 1f, 0f)]
    [InlineData(0.6f, 0, 1f, 0f)]
    [InlineData(2f, 0, 1f, 0.05f)]
    [InlineData(1f, 5, 1f, 0f)]
    [InlineData(1f, 0, 0.8f, 0f)]
    [InlineData(1.3f, 9, 0.9f, 0.1f)]
    public void FrequenciesAreTheProbabilities(float temperature, int topK, float topP, float minP)
    {
        var random = new Random(1);
        float[] logits = [.. Enumerable.Range(0, 40).Select(_ => (float)(random.NextDouble() * 4))];
        var options = new SamplingOptions { Temperature = temperature, TopK = topK, TopP = topP, MinP = minP, Seed = 2 };
        List<(int Id, double Probability)> distribution = SamplerOracle.Distribution(logits, [], options);
        var sampler = new Sampler(options, logits.Length);
        const int Draws = 20_000;
        var counts = new int[logits.Length];
        for (int i = 0; i < Draws; i++) counts[sampler.Choose(logits)]++;

        double chiSquare = distribution.Sum(entry => Math.Pow(counts[entry.Id] - Draws * entry.Probability, 2) / (Draws * entry.Probability));
        int freedom = distribution.Count - 1;
        // Five standard deviations of the chi-square distribution.
        Assert.InRange(chiSquare, 0, freedom + 5 * Math.Sqrt(2 * freedom) + 5);
        Assert.Equal(Draws, distribution.Sum(entry => counts[entry.Id]));
    }

    [Fact]
    public void TheNucleusIsTheSmallestSetThatReachesP()
    {
        float[] logits = [.. ((double[])[0.125, 0.5, 0.25, 0.125]).Select(p => (float)Math.Log(p))];
        Assert.Equal([1], Reached(0.01f));
        Assert.Equal([1], Reached(0.49f));
        Assert.Equal([1, 2], Reached(0.51f));
        Assert.Equal([1, 2], Reached(0.74f));
        Assert.Equal([0, 1, 2], Reached(0.76f));
        Assert.Equal([0, 1, 2, 3], Reached(0.9f));
        Assert.Equal([0, 1, 2, 3], Reached(1));

        int[] Reached(float p)
        {
            var sampler = new Sampler(new SamplingOptions { Temperature = 1, TopP = p, Seed = 3 }, 4);
            return [.. Enumerable.Range(0, 400).Select(_ => sampler.Choose(logits)).Distinct().Order()];
        }
    }

    [Fact]
    public void ASeedGivesTheSameAnswerAgain()
    {
        float[] logits = [.. Enumerable.Range(0, 1000).Select(i => (float)Math.Sin(i))];
        Assert.Equal(Draws(new SamplingOptions { Temperature = 1, Seed = 7 }), Draws(new SamplingOptions { Temperature = 1, Seed = 7 }));
        Assert.NotEqual(Draws(new SamplingOptions { Temperature = 1, Seed = 7 }), Draws(new SamplingOptions { Temperature = 1, Seed = 8 }));
        // A fresh seed is reported, so that an answer can be had again.
        var unseeded = new Sampler(new SamplingOptions { Temperature = 1 }, logits.Length);
        int[] first = [.. Enumerable.Range(0, 20).Select(_ => unseeded.Choose(logits))];
        Assert.Equal(first, Draws(new SamplingOptions { Temperature = 1, Seed = unseeded.Seed }));

        int[] Draws(SamplingOptions options)
        {
            var sampler = new Sampler(options, logits.Length);
            return [.. Enumerable.Range(0, 20).Select(_ => sampler.Choose(logits))];
        }
    }

    [Fact]
    public void ExtremeLogitsAreNoObstacle()
    {
        var options = new SamplingOptions { Temperature = 0.7f, TopP = 0.9f, Seed = 1 };
        Assert.Equal(2, new Sampler(options, 4).Choose([0, 5, Infinity, Infinity]));
        Assert.Equal(0, new Sampler(options, 3).Choose([-Infinity, -Infinity, -Infinity]));
        Assert.Equal(1, new Sampler(options, 3).Choose([-Infinity, -4, -Infinity]));
        Assert.Equal(1, new Sampler(options with { Temperature = float.Epsilon }, 3).Choose([1, 2, 1.9999f]));
        Assert.Equal(0, new Sampler(options, 1).Choose([3]));
        foreach (SamplingOptions each in (SamplingOptions[])[options, new SamplingOptions(), new SamplingOptions { TopLogProbs = 1 }])
            Assert.Contains("NaN", Assert.Throws<LlavaSpException>(() => new Sampler(each, 3).Choose([1, float.NaN, 2])).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void OptionsOutOfRangeAreRefusedByName()
    {
        (SamplingOptions Options, string Name)[] wrong =
        [
            (new() { Temperature = -1 }, "temperature"), (new() { Temperature = float.NaN }, "temperature"), (new() { Temperature = Infinity }, "temperature"),
            (new() { TopK = -1 }, "top-k"), (new() { TopP = 0 }, "top-p"), (new() { TopP = 1.01f }, "top-p"), (new() { TopP = float.NaN }, "top-p"),
            (new() { MinP = -0.1f }, "min-p"), (new() { MinP = float.NaN }, "min-p"), (new() { RepetitionPenalty = 0 }, "repetition penalty"),
            (new() { FrequencyPenalty = float.NaN }, "frequency penalty"), (new() { PresencePenalty = 1e9f }, "presence penalty"),
            (new() { TopLogProbs = -1 }, "top log-probabilities"), (new() { TopLogProbs = 101 }, "top log-probabilities"),
        ];
        foreach ((SamplingOptions options, string name) in wrong)
            Assert.StartsWith(name, Assert.Throws<LlavaSpException>(() => new Sampler(options, 4)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void PenaltiesCountTheAnswerAlone()
    {
        LlavaSpModel model = TestModels.Reference();
        int[] answer = [.. TestModels.Fresh(model, TestModels.Request([1, 5, 77], 1)).Result.Ids];
        // The token that follows stands in the prompt already, and is chosen all the same.
        (GenerationResult plain, _) = TestModels.Fresh(model, TestModels.Request([answer[0], 5, 77], 1));
        (GenerationResult penalised, _) = TestModels.Fresh(
            model, TestModels.Request([plain.Ids[0], 5, 77], 1) with { Sampling = new SamplingOptions { PresencePenalty = 100 } });
        (GenerationResult unpenalised, _) = TestModels.Fresh(model, TestModels.Request([plain.Ids[0], 5, 77], 1));
        Assert.Equal(unpenalised.Ids, penalised.Ids);
        // Within the answer a token comes once.
        (GenerationResult varied, _) = TestModels.Fresh(
            model, TestModels.Request([1, 5, 77], 30) with { Sampling = new SamplingOptions { PresencePenalty = 100 } });
        Assert.Equal(varied.Ids.Count, varied.Ids.Distinct().Count());
    }
}
