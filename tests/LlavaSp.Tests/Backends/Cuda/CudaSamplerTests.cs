using LlavaSp.Backends;
using LlavaSp.Backends.Cuda;
using LlavaSp.Generation;
using LlavaSp.Tests.Generation;

namespace LlavaSp.Tests.Backends.Cuda;

/// <summary>The sampler on the device against the host's: the same random numbers give the same tokens.</summary>
public sealed class CudaSamplerTests
{
    private const float Infinity = float.PositiveInfinity;

    /// <summary>Every filter alone and together, with the borders of what each may be.</summary>
    private static readonly SamplingOptions[] Rules =
    [
        new() { Temperature = 1 },
        new() { Temperature = 0.3f },
        new() { Temperature = 100 },
        new() { Temperature = 1e-3f },
        new() { Temperature = 1, TopK = 1 },
        new() { Temperature = 1, TopK = 5 },
        new() { Temperature = 2, TopK = 50 },
        new() { Temperature = 1, TopK = int.MaxValue },
        new() { Temperature = 1, TopP = 0.1f },
        new() { Temperature = 1, TopP = 0.9f },
        new() { Temperature = 1.5f, TopP = 0.999f },
        new() { Temperature = 1, TopP = 1e-30f },
        new() { Temperature = 1, MinP = 0.05f },
        new() { Temperature = 3, MinP = 1e-4f },
        new() { Temperature = 1, MinP = 1 },
        new() { Temperature = 1.2f, TopK = 40, TopP = 0.95f, MinP = 0.02f },
        new() { Temperature = 0.8f, TopK = 7, TopP = 0.5f, RepetitionPenalty = 1.3f },
        new() { Temperature = 1, TopP = 0.9f, FrequencyPenalty = 0.7f, PresencePenalty = 0.3f },
        new() { Temperature = 1, MinP = 0.1f, RepetitionPenalty = 0.5f, FrequencyPenalty = -0.4f, PresencePenalty = -1 },
        new() { RepetitionPenalty = 1.7f },
        new() { FrequencyPenalty = 1.1f, PresencePenalty = 0.37f },
        new() { RepetitionPenalty = 1.01f, FrequencyPenalty = 0.013f, PresencePenalty = 3 },
        new(),
    ];

    /// <summary>How far the sums of probabilities may be apart: the emulator has the host's exponential function, a GPU its own.</summary>
    private static double Rounding => CudaTesting.Device == "cuda-emulator" ? 1e-8 : 2e-6;

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(33)]
    [InlineData(512)]
    [InlineData(1027)]
    public void ChoosesWhatTheHostChooses(int vocabulary)
    {
        using CudaBackend cuda = CudaTesting.Create();
        int steps = vocabulary < 500 ? 10 : 4;
        foreach ((string kind, float[] logits) in Logits(vocabulary))
        {
            for (int rule = 0; rule < Rules.Length; rule++) Same(cuda, kind, Rules[rule] with { Seed = 100 * rule + vocabulary }, steps, logits);
        }
    }

    [Fact]
    public void ChoosesWhatTheHostChoosesFromAWholeVocabulary()
    {
        using CudaBackend cuda = CudaTesting.Create();
        (string Kind, float[] Logits)[] all = [.. Logits(32000)];
        for (int rule = 0; rule < Rules.Length; rule++)
        {
            Same(cuda, all[0].Kind, Rules[rule] with { Seed = rule }, 2, all[0].Logits);
            (string kind, float[] logits) = all[1 + rule % (all.Length - 1)];
            Same(cuda, kind, Rules[rule] with { Seed = rule }, 1, logits);
        }
    }

    [Fact]
    public void EveryTokenOfASmallVocabularyIsReached()
    {
        // Points from end to end, many of them on the borders between tokens, which are exact here.
        using CudaBackend cuda = CudaTesting.Create();
        float[] logits = [0, 1, 0, -Infinity, 1, 1];
        using Tensor tensor = CudaTesting.Tensor(cuda, Precision.Full, 1, logits.Length, logits);
        using DeviceSampler sampler = cuda.CreateSampler(new SamplingOptions { Temperature = 1, TopK = 3 }.Rule, logits.Length);
        Assert.Equal([(1, true), (1, true), (4, true), (4, true), (5, true), (5, true)], ((double[])[0, 0.33, 0.34, 0.66, 0.67, 1 - 1.0 / (1L << 53)]).Select(
            point => sampler.Choose(tensor, point)));
        using DeviceSampler half = cuda.CreateSampler(new SamplingOptions { Temperature = 1, TopP = 0.5f, MinP = 0.9f }.Rule, 4);
        using Tensor equal = CudaTesting.Tensor(cuda, Precision.Full, 1, 4, [2, 2, 2, 2]);
        Assert.Equal([0, 0, 1, 1], ((double[])[0, 0.4999999, 0.5, 0.9999999]).Select(point => half.Choose(equal, point).Id));
        // Both zeros are one score.
        using Tensor zeros = CudaTesting.Tensor(cuda, Precision.Full, 1, 4, [-0f, 0, -0f, 0]);
        Assert.Equal([0, 0, 1, 1], ((double[])[0, 0.4999999, 0.5, 0.9999999]).Select(point => half.Choose(zeros, point).Id));
    }

    [Fact]
    public void PenaltiesAddUpOverAnAnswer()
    {
        using CudaBackend cuda = CudaTesting.Create();
        foreach (float temperature in new[] { 0, 0.7f })
        {
            foreach (int seed in new[] { 1, 2, 3 })
            {
                var random = new Random(seed);
                float[][] steps = [.. Enumerable.Range(0, 60).Select(_ => Random(random, 40, 1))];
                var options = new SamplingOptions
                {
                    Temperature = temperature,
                    RepetitionPenalty = 1.1f,
                    FrequencyPenalty = 0.23f,
                    PresencePenalty = 0.31f,
                    Seed = seed,
                };
                Same(cuda, "changing logits", options, steps.Length, steps);
            }
        }
    }

    [Fact]
    public void ABackendChangesNeitherAnswerNorLogProbabilities()
    {
        using var pair = new CudaPair();
        float[] logits = Random(new Random(8), 300, 3), certain = [.. logits];
        certain[17] = Infinity;
        foreach (SamplingOptions options in new SamplingOptions[]
        {
            new() { Temperature = 1, TopP = 0.9f, TopLogProbs = 3, Seed = 4 }, new() { TopLogProbs = 0 }, new() { Temperature = 2, Seed = 5 }, new(),
            new() { PresencePenalty = 1, TopLogProbs = 2 },
        })
        {
            using var cuda = new TokenSampler(pair.Cuda, options, logits.Length);
            using var reference = new TokenSampler(pair.Reference, options, logits.Length);
            // Where the token is certain no random number is used up.
            foreach (float[] step in new[] { logits, certain, logits, logits, certain, certain, logits })
            {
                using Tensor a = CudaTesting.Tensor(pair.Cuda, Precision.Full, 1, step.Length, step);
                using Tensor b = CudaTesting.Tensor(pair.Reference, Precision.Full, 1, step.Length, step);
                Assert.Equal(reference.Choose(b), cuda.Choose(a));
                Assert.Equal(reference.ChosenLogProbability, cuda.ChosenLogProbability);
                Assert.Equal(reference.TopLogProbabilities, cuda.TopLogProbabilities);
            }

            if (options.Seed is { } seed) Assert.Equal((seed, seed), (cuda.Seed, reference.Seed));
        }
    }

    [Fact]
    public void NaNIsRefusedAsOnTheHost()
    {
        using CudaBackend cuda = CudaTesting.Create();
        foreach (SamplingOptions options in new SamplingOptions[] { new() { Temperature = 1 }, new() { PresencePenalty = 1 }, new() { Temperature = 1, TopK = 2 } })
        {
            foreach (int vocabulary in new[] { 3, 2050 })
            {
                foreach (int at in new[] { 0, vocabulary / 2, vocabulary - 1 })
                {
                    foreach (float rest in new[] { 1, Infinity, -Infinity })
                    {
                        float[] logits = [.. Enumerable.Repeat(rest, vocabulary)];
                        logits[at] = float.NaN;
                        using Tensor tensor = CudaTesting.Tensor(cuda, Precision.Full, 1, vocabulary, logits);
                        using DeviceSampler sampler = cuda.CreateSampler(options.Rule, vocabulary);
                        string expected = Assert.Throws<LlavaSpException>(() => new Sampler(options, vocabulary).Choose(logits)).Message;
                        Assert.Equal(expected, Assert.Throws<LlavaSpException>(() => sampler.Choose(tensor, 0.5)).Message);
                    }
                }
            }
        }
    }

    [Fact]
    public void ATokenAllocatesNothing()
    {
        using CudaBackend cuda = CudaTesting.Create();
        var options = new SamplingOptions { Temperature = 1, TopK = 20, TopP = 0.9f, PresencePenalty = 1, Seed = 1 };
        using var sampler = new TokenSampler(cuda, options, 100);
        using Tensor tensor = CudaTesting.Tensor(cuda, Precision.Full, 1, 100, Random(new Random(1), 100, 2));
        for (int i = 0; i < 3; i++) sampler.Choose(tensor);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 10; i++) sampler.Choose(tensor);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public void WhatDoesNotFitIsRefused()
    {
        using var pair = new CudaPair();
        using DeviceSampler sampler = pair.Cuda.CreateSampler(new SamplingOptions { Temperature = 1 }.Rule, 8);
        using Tensor right = pair.Cuda.CreateTensor(1, 8);
        Assert.All(
            new Action[]
            {
                () => sampler.Choose(pair.Cuda.CreateTensor(1, 7), 0),
                () => sampler.Choose(pair.Cuda.CreateTensor(2, 8), 0),
                () => sampler.Choose(pair.Cuda.CreateTensor(1, 8, Precision.Operand), 0),
                () => sampler.Choose(pair.Reference.CreateTensor(1, 8), 0),
                () => sampler.Choose(right, 1),
                () => sampler.Choose(right, double.NaN),
                () => pair.Cuda.CreateSampler(new SamplingOptions().Rule, 0),
                () => pair.Cuda.CreateSampler(new SamplingOptions().Rule, (1 << 20) + 1),
            },
            action => Assert.ThrowsAny<ArgumentException>(action));
    }

    /// <summary>Logits of every kind: usual ones, ties, few that count, none that differ, infinite ones.</summary>
    private static IEnumerable<(string Kind, float[] Logits)> Logits(int vocabulary)
    {
        var random = new Random(vocabulary);
        float[] Fill(Func<int, float> value) => [.. Enumerable.Range(0, vocabulary).Select(value)];
        yield return ("normal", Random(random, vocabulary, 3));
        yield return ("ties", Fill(_ => random.Next(-3, 4)));
        yield return ("equal", Fill(_ => -1.25f));
        yield return ("one hot", Fill(id => id == vocabulary / 3 ? 40 : 0));
        yield return ("some -inf", Fill(id => id % 3 == 1 ? (float)random.NextDouble() * 5 : -Infinity));
        yield return ("all -inf", Fill(_ => -Infinity));
        yield return ("infinite", Fill(id => id % 5 == 2 ? Infinity : 1));
        yield return ("close together, one far off", Fill(id => id == 1 ? -1e30f : 1 + id % 1000 * 1.2e-7f));
        yield return ("extreme", Fill(_ => ((float[])[float.MaxValue, float.MinValue, 1e-30f, -Infinity])[random.Next(4)]));
    }

    private static float[] Random(Random random, int count, double deviation) => [.. Enumerable.Range(0, count).Select(_ =>
        (float)(deviation * Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble())))];

    /// <summary>An answer of both samplers, token by token; step i has logits i, or the last ones.</summary>
    private static void Same(CudaBackend cuda, string kind, SamplingOptions options, int steps, params float[][] logits)
    {
        int vocabulary = logits[0].Length;
        var host = new Sampler(options, vocabulary);
        var random = new Random(host.Seed);
        using DeviceSampler device = cuda.CreateSampler(options.Rule, vocabulary);
        using Tensor tensor = cuda.CreateTensor(1, vocabulary);
        var history = new List<int>();
        double? drawn = null;
        for (int step = 0; step < steps; step++)
        {
            float[] now = logits[Math.Min(step, logits.Length - 1)];
            tensor.Write(now);
            double point = drawn ??= random.NextDouble();
            (int chosen, bool used) = device.Choose(tensor, point);
            int expected = host.Choose(now);
            if (used) drawn = null;
            history.Add(chosen);
            if (chosen == expected) continue;

            string what = $"{kind} [{vocabulary}], {options}, step {step}: {chosen}, the host has {expected}, point {point}";
            Assert.True(used, what);
            Assert.Contains(chosen, NearBorder(now, history[..^1], options, point));
            Assert.Contains(expected, NearBorder(now, history[..^1], options, point));
            // From here on the answers differ.
            return;
        }
    }

    /// <summary>What the point, or the nucleus, comes to when it is moved by less than rounding.</summary>
    private static HashSet<int> NearBorder(float[] logits, List<int> history, SamplingOptions options, double point) =>
    [
        .. from topP in new[] { 1 - 1e-7f, 1, 1 + 1e-7f }
           let distribution = SamplerOracle.Distribution(logits, history, options.TopP < 1 ? options with { TopP = options.TopP * topP } : options)
           from near in new[] { point - Rounding, point, point + Rounding }
           select SamplerOracle.At(distribution, near),
    ];
}
