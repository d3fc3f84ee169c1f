using CsCheck;
using LlavaSp.Generation;

namespace LlavaSp.Tests.Generation;

public sealed class LogProbabilityTests
{
    private static readonly Gen<float[]> Logits = Gen.OneOf(
        Gen.Float[-30, 30].Array[1, 80], Gen.Int[-2, 2].Select(i => (float)i).Array[1, 80], Gen.OneOf(float.NegativeInfinity, 0f, 1f).Array[1, 20]);

    [Fact]
    public void TheyAreTheLogSoftmaxOfTheRawLogits() => Gen.Select(Logits, Gen.Int[0, 100], Gen.Int).Sample(
        (logits, top, seed) =>
        {
            var options = new SamplingOptions { Temperature = 2, TopK = 3, RepetitionPenalty = 1.5f, TopLogProbs = top, Seed = seed };
            var sampler = new Sampler(options, logits.Length);
            for (int step = 0; step < 3; step++)
            {
                int chosen = sampler.Choose(logits);
                double[] expected = LogSoftmax(logits);
                Assert.Equal(expected[chosen], sampler.ChosenLogProbability, 1e-5);
                int[] ranked = [.. Enumerable.Range(0, logits.Length).OrderByDescending(id => logits[id]).ThenBy(id => id).Take(top)];
                Assert.Equal(ranked, sampler.TopLogProbabilities.Select(entry => entry.Id));
                foreach (TokenLogProbability entry in sampler.TopLogProbabilities) Assert.Equal(expected[entry.Id], entry.LogProbability, 1e-5);
            }
        },
        iter: 1000);

    [Fact]
    public void AllOfThemSumToOne()
    {
        var random = new Random(4);
        float[] logits = [.. Enumerable.Range(0, 100).Select(_ => (float)(random.NextDouble() * 20 - 10))];
        var sampler = new Sampler(new SamplingOptions { TopLogProbs = 100 }, logits.Length);
        sampler.Choose(logits);
        Assert.Equal(1, sampler.TopLogProbabilities.Sum(entry => Math.Exp(entry.LogProbability)), 1e-5);
    }

    [Fact]
    public void InfiniteLogitsShareTheProbability()
    {
        var sampler = new Sampler(new SamplingOptions { TopLogProbs = 3 }, 4);
        Assert.Equal(1, sampler.Choose([1, float.PositiveInfinity, 3, float.PositiveInfinity]));
        Assert.Equal(Math.Log(0.5), sampler.ChosenLogProbability, 1e-6);
        Assert.Equal([1, 3, 2], sampler.TopLogProbabilities.Select(entry => entry.Id));
        Assert.Equal(float.NegativeInfinity, sampler.TopLogProbabilities[2].LogProbability);
        sampler.Choose([float.NegativeInfinity, float.NegativeInfinity, float.NegativeInfinity, float.NegativeInfinity]);
        Assert.Equal(Math.Log(0.25), sampler.ChosenLogProbability, 1e-6);
    }

    [Fact]
    public void NoneAreReportedUnlessAskedFor()
    {
        LlavaSpModel model = TestModels.Reference();
        GenerationRequest request = TestModels.Request([1, 5, 77], 4);
        (GenerationResult plain, _) = TestModels.Fresh(model, request);
        Assert.All(plain.Tokens, token => Assert.True(float.IsNaN(token.LogProbability) && token.TopLogProbabilities.Count == 0));
        (GenerationResult chosen, _) = TestModels.Fresh(model, request with { Sampling = new SamplingOptions { TopLogProbs = 0 } });
        Assert.Equal(plain.Ids, chosen.Ids);
        Assert.All(chosen.Tokens, token => Assert.True(token.LogProbability <= 0 && token.TopLogProbabilities.Count == 0));
        (GenerationResult top, _) = TestModels.Fresh(model, request with { Sampling = new SamplingOptions { TopLogProbs = 2 } });
        // Every token keeps its own list.
        Assert.All(top.Tokens, token => Assert.Equal((token.Id, token.LogProbability), (token.TopLogProbabilities[0].Id, token.TopLogProbabilities[0].LogProbability)));
    }

    private static double[] LogSoftmax(float[] logits)
    {
        double best = logits.Max();
        if (double.IsNegativeInfinity(best)) return [.. logits.Select(_ => -Math.Log(logits.Length))];
        double normaliser = best + Math.Log(logits.Sum(logit => Math.Exp(logit - best)));
        return [.. logits.Select(logit => logit - normaliser)];
    }
}
