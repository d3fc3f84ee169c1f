using LlavaSp.Graph;
using LlavaSp.Quantization;

namespace LlavaSp.Checkpoints;

/// <summary>How to write a merged checkpoint.</summary>
public sealed record ConversionOptions
{
    /// <summary>Format of the matrices; null keeps that of most of the checkpoint's matrices.</summary>
    public WeightFormat? Weights { get; init; }

    /// <summary>Largest number of tensor bytes in one file; a tensor that is larger has a file of its own.</summary>
    public long MaxShardBytes { get; init; } = 5_000_000_000;

    /// <summary>Told about the progress.</summary>
    public IProgress<LoadProgress>? Progress { get; init; }
}

/// <summary>What was written.</summary>
/// <param name="Folder">Folder of the merged checkpoint.</param>
/// <param name="Weights">Format of its matrices.</param>
/// <param name="Files">Number of safetensors files.</param>
/// <param name="Tensors">Number of tensors.</param>
/// <param name="Bytes">Bytes of all tensors.</param>
public sealed record ConversionResult(string Folder, WeightFormat Weights, int Files, int Tensors, long Bytes);

/// <summary>
/// Writes any checkpoint that <see cref="ModelCheckpoint"/> opens as one folder of safetensors under the published LLaVA names, LoRA merged, optionally
/// quantised. Matrices take the format that loading would give them, so that the result loads to the same numbers as the original does in that format;
/// vectors (norms, biases, positions) keep their own type. Rows stream through a buffer of 16 MiB: beyond it, only the mapped pages of the tensor at hand
/// are in memory.
/// </summary>
public static class CheckpointConverter
{
    private const string Stem = "model", Extension = ".safetensors";

    private static readonly string[] TokenizerFiles =
        ["tokenizer.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"];

    /// <summary>Converts. The folder appears under its name when it is complete; nothing is left behind otherwise.</summary>
    /// <param name="checkpoint">What to convert.</param>
    /// <param name="folder">Folder to write: one that does not exist yet, or an empty one.</param>
    /// <param name="options">Options; null takes the defaults.</param>
    /// <param name="cancellationToken">Stops between two blocks of rows.</param>
    /// <exception cref="CheckpointException">A tensor is missing, does not fit, cannot be quantised, or is stored in another integer format.</exception>
    /// <exception cref="LlavaSpException">The folder is in use or cannot be written: permission, space.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static ConversionResult Convert(
        ModelCheckpoint checkpoint, string folder, ConversionOptions? options = null, CancellationToken cancellationToken = default) =>
        Convert(checkpoint, folder, options ?? new ConversionOptions(), null, cancellationToken);

    /// <summary>As above, with the streams made by <paramref name="open"/> from path and length.</summary>
    internal static ConversionResult Convert(
        ModelCheckpoint checkpoint, string folder, ConversionOptions options, Func<string, long, Stream>? open, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.MaxShardBytes, 1, nameof(options.MaxShardBytes));
        WeightFormat format = options.Weights ?? checkpoint.StoredFormat;
        if (checkpoint.StoredFormat.IsInteger && format.IsInteger && format != checkpoint.StoredFormat)
        {
            throw new CheckpointException(
                $"{checkpoint.Location.Model}: is stored as {checkpoint.StoredFormat} already, so {format} would round twice: convert the original checkpoint");
        }

        // Everything that can be refused is refused before the first byte is written.
        IReadOnlyList<OutputTensor> tensors = OutputTensors.Of(checkpoint, WeightPlan.For(format));
        List<List<OutputTensor>> shards = Shards(tensors, options.MaxShardBytes);
        using PartialFolder partial = PartialFolder.Create(folder);
        var progress = new WriteProgress(options.Progress, tensors.Sum(tensor => tensor.ByteLength), cancellationToken);
        for (int i = 0; i < shards.Count; i++) WriteShard(partial[FileName(i, shards.Count)], shards[i], open, progress);
        partial.Guarded(() =>
        {
            if (shards.Count > 1) ShardIndexWriter.Write(partial[$"{Stem}{Extension}.index.json"], shards, i => FileName(i, shards.Count));
            MergedConfig.Write(partial["config.json"], checkpoint, format);
            CopySideFiles(checkpoint, partial);
        });
        cancellationToken.ThrowIfCancellationRequested();
        partial.Complete();
        return new ConversionResult(partial.Target, format, shards.Count, tensors.Sum(tensor => tensor.Infos.Count), progress.Total);
    }

    private static List<List<OutputTensor>> Shards(IReadOnlyList<OutputTensor> tensors, long limit)
    {
        List<List<OutputTensor>> shards = [];
        long size = 0;
        foreach (OutputTensor tensor in tensors)
        {
            if (shards.Count == 0 || size + tensor.ByteLength > limit)
            {
                shards.Add([]);
                size = 0;
            }

            shards[^1].Add(tensor);
            size += tensor.ByteLength;
        }

        // The format has no padding: wide elements first keeps them aligned.
        return [.. shards.Select(shard => shard.OrderByDescending(tensor => tensor.Infos[0].DType.ByteSize()).ToList())];
    }

    private static string FileName(int index, int count) => count == 1 ? $"{Stem}{Extension}" : $"{Stem}-{index + 1:d5}-of-{count:d5}{Extension}";

    private static void WriteShard(string path, List<OutputTensor> shard, Func<string, long, Stream>? open, WriteProgress progress)
    {
        TensorInfo[] infos = [.. shard.SelectMany(tensor => tensor.Infos)];
        // transformers reads no file that does not name its framework.
        var metadata = new Dictionary<string, string> { ["format"] = "pt" };
        using SafetensorsWriter writer = open is null
            ? SafetensorsWriter.Create(path, infos, metadata)
            : SafetensorsWriter.Create(path, infos, metadata, open);
        foreach (OutputTensor tensor in shard)
        {
            progress.Stage = NameMap.Stage(NameMap.Canonical(tensor.Infos[0].Name));
            tensor.Write(writer, progress);
        }

        writer.Complete();
    }

    private static void CopySideFiles(ModelCheckpoint checkpoint, PartialFolder partial)
    {
        foreach (string name in TokenizerFiles) Copy(Path.Combine(checkpoint.TokenizerFolder, name), name);
        Copy(Path.Combine(checkpoint.Location.Model, "generation_config.json"), "generation_config.json");
        if (checkpoint.PreprocessorConfigPath is { } preprocessor) Copy(preprocessor, "preprocessor_config.json");

        void Copy(string source, string name)
        {
            if (File.Exists(source)) File.Copy(source, partial[name]);
        }
    }
}

/// <summary>Bytes written so far, whether to go on, and the buffers that all tensors share: new ones for each would pile up until they are collected.</summary>
internal sealed class WriteProgress(IProgress<LoadProgress>? listener, long total, CancellationToken cancellationToken)
{
    private long _written;
    private byte[] _block = [];
    private Half[] _scales = [];

    /// <summary>Bytes that there will be.</summary>
    public long Total => total;

    /// <summary>What is being written.</summary>
    public string Stage { get; set; } = "";

    /// <summary>A buffer of at least so many bytes with undefined contents, until the next call.</summary>
    public byte[] Block(int length) => _block.Length >= length ? _block : _block = new byte[length];

    /// <summary>A buffer of at least so many scales with undefined contents, until the next call.</summary>
    public Half[] Scales(int length) => _scales.Length >= length ? _scales : _scales = new Half[length];

    /// <summary>Counts a block of bytes.</summary>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public void Add(long bytes)
    {
        cancellationToken.ThrowIfCancellationRequested();
        _written += bytes;
        listener?.Report(new LoadProgress(Stage, (double)_written / Math.Max(1, total)));
    }
}
