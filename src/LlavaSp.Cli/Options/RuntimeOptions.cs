using System.CommandLine;
using LlavaSp.Backends;
using LlavaSp.Quantization;

namespace LlavaSp.Cli.Options;

/// <summary><c>--device --threads --weights --vision-weights --activations --kv</c>: where and in which number formats a model runs.</summary>
internal sealed class RuntimeOptions
{
    private readonly Option<string> _device = new("--device")
    {
        Description = "auto, cuda, cuda:N, cuda-emulator, cpu, cpu:ISA (scalar; x86: avx2, avxvnni, avx512, avx512vnni, amx; Arm: neon, dotprod, i8mm) or reference",
        HelpName = "NAME",
        DefaultValueFactory = static _ => "auto",
    };

    private readonly Option<int> _threads = new("--threads") { Description = "Worker threads; 0 takes every processor", HelpName = "N" };

    private readonly Option<WeightFormat?> _weights = Choices.Parsed<WeightFormat?>(
        "--weights", "Weight format in memory; int8 and int4 take a group size, e.g. int4:128 [default: the checkpoint's own]", "f32|f16|bf16|int8|int4",
        static text => WeightFormat.Parse(text));

    private readonly Option<WeightFormat?> _vision = Choices.Parsed<WeightFormat?>(
        "--vision-weights", "Vision tower and projector, where they are to have another format [default: int8 beside int8 and int4, else as --weights]",
        "f32|f16|bf16|int8", static text => WeightFormat.Parse(text));

    private readonly Option<WeightKind?> _activations = Choices.OneOf<WeightKind?>(
        "--activations", "Activations between integer weights: float32, or quantised on the fly [default: int8]", ("f32", WeightKind.F32), ("int8", WeightKind.Int8));

    private readonly Option<KvFormat?> _kv;

    private readonly KvFormat? _kvFallback;

    /// <summary>Adds the options to a command.</summary>
    /// <param name="command">The command.</param>
    /// <param name="kv">Default of <c>--kv</c>; null follows the weights.</param>
    public RuntimeOptions(Command command, KvFormat? kv = null)
    {
        string fallback = kv is null ? "f32 for f32 weights, else f16" : $"{kv.ToString()!.ToLowerInvariant()} where the device has it";
        _kvFallback = kv;
        _kv = Choices.OneOf<KvFormat?>(
            "--kv", $"Key-value cache; int8 takes half of f16's memory (cuda, reference) [default: {fallback}]",
            ("f16", KvFormat.F16), ("f32", KvFormat.F32), ("int8", KvFormat.Int8));
        command.Add(_device);
        command.Add(_threads);
        command.Add(_weights);
        command.Add(_vision);
        command.Add(_activations);
        command.Add(_kv);
    }

    /// <summary>What was asked for; formats that were not, and have no default, are null.</summary>
    public LoadOptions Read(ParseResult parsed) => new()
    {
        Device = new DeviceOptions(parsed.GetValue(_device)!, parsed.GetValue(_threads), parsed.GetValue(_activations) != WeightKind.F32),
        Weights = parsed.GetValue(_weights),
        VisionWeights = parsed.GetValue(_vision),
        KvFormat = parsed.GetValue(_kv),
        PreferredKvFormat = _kvFallback,
    };
}
