using LlavaSp.Backends;
using LlavaSp.Quantization;
using Microsoft.Extensions.Logging;

namespace LlavaSp;

/// <summary>How to load a model.</summary>
public sealed record LoadOptions
{
    /// <summary>Folder of the base model of a LoRA checkpoint; found by its name when null.</summary>
    public string? ModelBase { get; init; }

    /// <summary>Folder of the CLIP checkpoint; found by its name, or taken from a merged checkpoint, when null.</summary>
    public string? VisionTower { get; init; }

    /// <summary>Device.</summary>
    public DeviceOptions Device { get; init; } = new();

    /// <summary>Format of the weights in memory; null keeps the checkpoint's own, or takes the nearest that the device holds.</summary>
    public WeightFormat? Weights { get; init; }

    /// <summary>Format of the vision tower and the projector, where it is not to follow <see cref="Weights"/>: float32, halves or int8.</summary>
    public WeightFormat? VisionWeights { get; init; }

    /// <summary>Element type of key-value caches; null takes float32 for float32 weights, else half.</summary>
    public KvFormat? KvFormat { get; init; }

    /// <summary>Element type of key-value caches where <see cref="KvFormat"/> is null and the device holds it.</summary>
    public KvFormat? PreferredKvFormat { get; init; }

    /// <summary>Told about the progress of loading.</summary>
    public IProgress<LoadProgress>? Progress { get; init; }

    /// <summary>Log: device, weight format and where everything was found.</summary>
    public ILogger? Logger { get; init; }

    /// <summary>Keeps the vision layers that no answer needs, so that a trace can show every hidden state.</summary>
    public bool AllHiddenStates { get; init; }
}

/// <summary>Progress of loading.</summary>
/// <param name="Stage">What is being loaded.</param>
/// <param name="Fraction">0 … 1.</param>
public readonly record struct LoadProgress(string Stage, double Fraction);
