using System.Buffers;
using System.Runtime.InteropServices;
using LlavaSp.Backends;
using LlavaSp.Graph;
using LlavaSp.Quantization;

namespace LlavaSp.Checkpoints;

/// <summary>A tensor on its way into a file, with its scales when it is quantised.</summary>
internal abstract class OutputTensor
{
    /// <summary>Elements, as float32, of the blocks in which rows are read.</summary>
    protected const int BlockElements = 1 << 22;

    /// <summary>What the file's header says, in the order of the bytes.</summary>
    public abstract IReadOnlyList<TensorInfo> Infos { get; }

    /// <summary>Bytes in the file.</summary>
    public long ByteLength => Infos.Sum(info => info.ByteLength);

    /// <summary>Writes the bytes.</summary>
    public abstract void Write(SafetensorsWriter writer, WriteProgress progress);
}

/// <summary>Decides what a merged checkpoint holds.</summary>
internal static class OutputTensors
{
    private const string EmbeddingName = "model.embed_tokens.weight", HeadName = "lm_head.weight";

    /// <summary>All tensors of the checkpoint under a plan: those of the layout, then what else it holds, untouched.</summary>
    /// <exception cref="CheckpointException">A tensor is missing or does not fit the config, or is stored in another integer format.</exception>
    public static IReadOnlyList<OutputTensor> Of(ModelCheckpoint checkpoint, WeightPlan plan)
    {
        TensorCatalog catalog = checkpoint.Catalog;
        List<OutputTensor> outputs = [];
        HashSet<string> done = [];
        foreach (LayoutTensor tensor in ModelLayout.Of(checkpoint))
        {
            done.Add(tensor.Name);
            done.Add(tensor.Name + TensorCatalog.ScaleSuffix);
            if (tensor.Need == TensorNeed.Required || catalog.Has(tensor.Name)) outputs.Add(Create(catalog, tensor, tensor.Name, plan));
        }

        if (checkpoint.Decoder.TieWordEmbeddings)
        {
            done.Add(HeadName);
            if (SplitsTiedEmbeddings(checkpoint.Decoder, plan))
            {
                long[] shape = [checkpoint.Decoder.VocabularySize, checkpoint.Decoder.HiddenSize];
                outputs.Add(Create(catalog, new LayoutTensor(EmbeddingName, TensorRole.Head, shape), HeadName, plan));
            }
        }

        foreach (CatalogEntry entry in catalog.Entries.Values.Where(entry => !done.Contains(entry.Name)))
        {
            if (catalog.LoraTargets.Contains(entry.Name))
                throw new CheckpointException($"{entry.Origin}: the LoRA adapter updates '{entry.Name}', which is no part of this model");
            outputs.Add(new CopiedTensor(entry, NameMap.Published(entry.Name)));
        }

        return outputs;
    }

    /// <summary>Whether tied embeddings become two matrices: a table to look rows up in and a quantised output matrix.</summary>
    public static bool SplitsTiedEmbeddings(DecoderConfig decoder, WeightPlan plan) => decoder.TieWordEmbeddings && plan.Head != plan.Embedding;

    private static OutputTensor Create(TensorCatalog catalog, LayoutTensor tensor, string name, WeightPlan plan)
    {
        CatalogEntry entry = catalog.Require(tensor.Name);
        string published = NameMap.Published(name);
        if (plan.FormatOf(tensor.Role) is not { } format)
        {
            // Reading it checks type and size; vectors are small.
            catalog.Vector(tensor.Name, tensor.Shape.Aggregate(1L, static (product, size) => product * size));
            return new CopiedTensor(entry, published);
        }

        WeightSource source = Source(catalog, tensor, format);
        if (source.StoredFormat is { IsInteger: true } stored && format.IsInteger && stored != format)
            throw new CheckpointException($"{entry.Place} is stored as {stored} already, {format} was asked for: convert the original checkpoint");
        if (format.IsInteger) return new QuantizedTensor(source, published, format);
        bool same = entry.Info.DType == DTypeOf(format) && !catalog.LoraTargets.Contains(tensor.Name);
        return same ? new CopiedTensor(entry, published) : new FloatTensor(source, new TensorInfo(published, DTypeOf(format), tensor.Shape), format.Kind);
    }

    /// <summary>The matrix in the order in which the file will have it: convolutions position-major as integers, as they are as floats.</summary>
    private static WeightSource Source(TensorCatalog catalog, LayoutTensor tensor, WeightFormat format)
    {
        if (tensor.Role != TensorRole.Kernel) return catalog.Matrix(tensor.Name, tensor.Rows, tensor.Columns);
        int channels = (int)tensor.Shape[1], k = (int)tensor.Shape[2];
        WeightSource kernel = catalog.Kernel(tensor.Name, tensor.Rows, k, channels);
        if (format.IsInteger) return kernel;
        return kernel.StoredFormat is not { IsInteger: true }
            ? catalog.Matrix(tensor.Name, tensor.Rows, tensor.Columns)
            : new KernelMatrix(kernel, positions: channels, channels: k * k);
    }

    private static DType DTypeOf(WeightFormat format) => format.Kind switch
    {
        WeightKind.F16 => DType.F16,
        WeightKind.BF16 => DType.BF16,
        _ => DType.F32,
    };
}

/// <summary>A tensor copied byte by byte under another name.</summary>
internal sealed class CopiedTensor(CatalogEntry entry, string name) : OutputTensor
{
    public override IReadOnlyList<TensorInfo> Infos { get; } = [entry.Info with { Name = name }];

    public override void Write(SafetensorsWriter writer, WriteProgress progress)
    {
        const int Chunk = 4 * BlockElements;
        writer.Begin(Infos[0].Name);
        ReadOnlySpan<byte> bytes = entry.Source.GetBytes(entry.Info.Name);
        for (int at = 0; at < bytes.Length; at += Chunk)
        {
            int length = Math.Min(Chunk, bytes.Length - at);
            writer.Write(bytes.Slice(at, length));
            progress.Add(length);
        }

        entry.Source.Evict(entry.Info.Name);
    }
}

/// <summary>A matrix rounded to a floating-point format.</summary>
internal sealed class FloatTensor(WeightSource source, TensorInfo info, WeightKind kind) : OutputTensor
{
    public override IReadOnlyList<TensorInfo> Infos { get; } = [info];

    public override void Write(SafetensorsWriter writer, WriteProgress progress)
    {
        writer.Begin(info.Name);
        int columns = checked((int)source.Columns), size = info.DType.ByteSize(), rows = Math.Max(1, BlockElements / columns);
        byte[] block = progress.Block(checked((int)Math.Min(rows, source.Rows) * columns * size));
        for (long first = 0; first < source.Rows; first += rows)
        {
            int count = (int)Math.Min(rows, source.Rows - first);
            ParallelRows.For(count, r => WriteRow(first + r, block.AsSpan(r * columns * size, columns * size)));
            writer.Write(block.AsSpan(0, count * columns * size));
            progress.Add((long)count * columns * size);
        }

        source.Evict();
    }

    private void WriteRow(long row, Span<byte> destination)
    {
        int columns = (int)source.Columns;
        float[] rented = ArrayPool<float>.Shared.Rent(columns);
        Span<float> values = rented.AsSpan(0, columns);
        source.ReadRows(row, 1, values);
        switch (kind)
        {
            case WeightKind.F16:
                Span<ushort> halves = MemoryMarshal.Cast<byte, ushort>(destination);
                for (int i = 0; i < columns; i++) halves[i] = BitConverter.HalfToUInt16Bits((Half)values[i]);
                RefuseOverflow(row, values, halves, 0x7C00);
                break;
            case WeightKind.BF16:
                Span<ushort> words = MemoryMarshal.Cast<byte, ushort>(destination);
                Bf16.Narrow(values, words);
                RefuseOverflow(row, values, words, 0x7F80);
                break;
            default:
                MemoryMarshal.AsBytes(values).CopyTo(destination);
                break;
        }

        ArrayPool<float>.Shared.Return(rented);
    }

    private void RefuseOverflow(long row, ReadOnlySpan<float> values, ReadOnlySpan<ushort> bits, ushort infinity)
    {
        if (!bits.ContainsAny(infinity, (ushort)(infinity | 0x8000))) return;
        for (int i = 0; i < bits.Length; i++)
        {
            if ((bits[i] & 0x7FFF) == infinity && float.IsFinite(values[i]))
                throw new CheckpointException($"{source.Name}, row {row}: a weight of {values[i]:g3} is too large for {kind}: use f32 or bf16");
        }
    }
}

/// <summary>A matrix as integers with group scales, as <see cref="TensorCatalog"/> reads it: int4 has the even column in the low nibble, plus 8.</summary>
internal sealed class QuantizedTensor : OutputTensor
{
    private readonly WeightSource _source;
    private readonly WeightFormat _format;
    private readonly int _columns;
    private readonly int _groups;
    private readonly int _stored;

    public QuantizedTensor(WeightSource source, string name, WeightFormat format)
    {
        (_source, _format) = (source, format);
        _columns = checked((int)source.Columns);
        _groups = (int)format.Groups(_columns);
        _stored = (int)format.StoredRowBytes(_columns);
        Infos =
        [
            new TensorInfo(name, format.Kind == WeightKind.Int8 ? DType.I8 : DType.U8, [source.Rows, _stored]),
            new TensorInfo(name + TensorCatalog.ScaleSuffix, DType.F16, [source.Rows, _groups]),
        ];
    }

    public override IReadOnlyList<TensorInfo> Infos { get; }

    public override void Write(SafetensorsWriter writer, WriteProgress progress)
    {
        writer.Begin(Infos[0].Name);
        int rows = Math.Max(1, BlockElements / _columns);
        byte[] block = progress.Block(checked((int)Math.Min(rows, _source.Rows) * _stored));
        int scaleCount = checked((int)(_source.Rows * _groups));
        Half[] scales = progress.Scales(scaleCount);
        for (long first = 0; first < _source.Rows; first += rows)
        {
            int count = (int)Math.Min(rows, _source.Rows - first);
            ParallelRows.For(count, r => WriteRow(first + r, block.AsSpan(r * _stored, _stored), scales.AsSpan((int)(first + r) * _groups, _groups)));
            writer.Write(block.AsSpan(0, count * _stored));
            progress.Add((long)count * _stored);
        }

        _source.Evict();
        writer.Begin(Infos[1].Name);
        writer.Write(MemoryMarshal.AsBytes(scales.AsSpan(0, scaleCount)));
        progress.Add(2L * scaleCount);
    }

    private void WriteRow(long row, Span<byte> destination, Span<Half> halves)
    {
        float[] scratch = ArrayPool<float>.Shared.Rent(_columns), scales = ArrayPool<float>.Shared.Rent(_groups);
        sbyte[] integers = ArrayPool<sbyte>.Shared.Rent(_columns);
        Span<sbyte> values = integers.AsSpan(0, _columns);
        IntegerRows.Read(_source, row, 1, _format, scratch.AsSpan(0, _columns), values, scales.AsSpan(0, _groups));
        for (int g = 0; g < halves.Length; g++) halves[g] = (Half)scales[g];
        if (_format.Kind == WeightKind.Int8) MemoryMarshal.AsBytes(values).CopyTo(destination);
        else Pack(values, destination);
        ArrayPool<float>.Shared.Return(scratch);
        ArrayPool<float>.Shared.Return(scales);
        ArrayPool<sbyte>.Shared.Return(integers);
    }

    private static void Pack(ReadOnlySpan<sbyte> values, Span<byte> packed)
    {
        for (int i = 0; i < values.Length / 2; i++) packed[i] = (byte)((values[2 * i] + 8) | ((values[2 * i + 1] + 8) << 4));
        // The half byte behind an odd width holds a zero.
        if (values.Length % 2 != 0) packed[^1] = (byte)((values[^1] + 8) | (8 << 4));
    }
}
