using LlavaSp.TrainDemo.Model;
using TorchSharp;
using static TorchSharp.torch;

namespace LlavaSp.TrainDemo.Training;

/// <summary>
/// AdamW over named weights. TorchSharp's own keeps its moments by position; these have the names of their weights, so that a file of them says what it
/// holds and an interrupted phase goes on.
/// </summary>
internal sealed class Adam
{
    private const double Beta1 = 0.9, Beta2 = 0.98, Epsilon = 1e-8, LargestNorm = 1;
    private const int Threads = 2;
    private const string First = ".first", Second = ".second";

    private readonly List<KeyValuePair<string, Tensor>> _trained;

    /// <summary>An optimizer of some of the weights.</summary>
    /// <param name="weights">The model.</param>
    /// <param name="changes">Whether it is to change a weight.</param>
    /// <param name="moments">Those of an interrupted phase; empty at its begin.</param>
    public Adam(NamedWeights weights, Func<string, bool> changes, Dictionary<string, Tensor> moments)
    {
        Moments = moments;
        _trained = [.. weights.All.Where(pair => changes(pair.Key))];
        foreach (var (name, tensor) in _trained)
        {
            moments.TryAdd(name + First, zeros(tensor.shape));
            moments.TryAdd(name + Second, zeros(tensor.shape));
        }
    }

    /// <summary>Running means of the gradients and of their squares.</summary>
    public IReadOnlyDictionary<string, Tensor> Moments { get; }

    /// <summary>One step along the mean of the gradients of replicas of the weights, which then forget theirs.</summary>
    /// <param name="step">Steps done before.</param>
    /// <param name="rate">Learning rate.</param>
    /// <param name="weightDecay">By which share of themselves matrices shrink at a rate of 1.</param>
    /// <param name="replicas">Weights in the same memory, each with gradients of its own.</param>
    public void Step(int step, double rate, double weightDecay, IReadOnlyList<NamedWeights> replicas)
    {
        // Scalars that only a temporary holds may be collected while the native library reads them.
        using Scalar count = replicas.Count;
        var squares = new double[_trained.Count];
        ForEachWeight(i =>
        {
            // In the first replica's place.
            Tensor gradient = replicas.Select(replica => GradientOf(replica, _trained[i].Key)).Aggregate((sum, other) => sum.add_(other)).div_(count);
            squares[i] = gradient.square().sum().item<float>();
        });
        double norm = Math.Sqrt(squares.Sum());
        if (!double.IsFinite(norm)) throw new LlavaSpException($"the gradient is not finite at step {step}: lower the learning rate");
        double clip = Math.Min(1, LargestNorm / (norm + 1e-6));
        double first = 1 - Math.Pow(Beta1, step + 1), second = 1 - Math.Pow(Beta2, step + 1);
        using Scalar clipped = clip, keepFirst = Beta1, addFirst = 1 - Beta1, keepSecond = Beta2, addSecond = 1 - Beta2, correction = second, epsilon = Epsilon;
        ForEachWeight(i =>
        {
            var (name, tensor) = _trained[i];
            using Scalar decay = 1 - (rate * weightDecay), stride = -rate / first;
            Tensor gradient = GradientOf(replicas[0], name).mul_(clipped), mean = Moments[name + First], square = Moments[name + Second];
            mean.mul_(keepFirst).add_(gradient, addFirst);
            square.mul_(keepSecond).addcmul_(gradient, gradient, addSecond);
            // Vectors are norms and biases, which do not decay.
            if (tensor.dim() > 1) tensor.mul_(decay);
            tensor.addcdiv_(mean, square.div(correction).sqrt_().add_(epsilon), stride);
            foreach (NamedWeights replica in replicas) GradientOf(replica, name).zero_();
        });
    }

    // On two threads, as the gradients were computed. Each has its own mode of gradients and its own scope.
    private void ForEachWeight(Action<int> work) => Parallel.For(0, Threads, new ParallelOptions { MaxDegreeOfParallelism = Threads }, thread =>
    {
        using IDisposable frozen = no_grad();
        using DisposeScope scope = NewDisposeScope();
        for (int i = thread; i < _trained.Count; i += Threads) work(i);
    });

    private static Tensor GradientOf(NamedWeights replica, string name) =>
        replica[name].grad ?? throw new InvalidOperationException($"{name} has no gradient");
}
