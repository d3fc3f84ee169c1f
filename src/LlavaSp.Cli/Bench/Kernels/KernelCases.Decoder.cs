using LlavaSp.Backends;
using LlavaSp.Backends.Cuda;
using LlavaSp.Graph;
using LlavaSp.Quantization;

namespace LlavaSp.Cli.Bench.Kernels;

/// <summary>Prefill, decode, and the choice of the next token.</summary>
internal sealed partial class KernelCases
{
    private const string Prefill = "prefill", Decode = "decode", NextToken = "next token";

    private void AddPrefill(WeightPlan[] plans)
    {
        int hidden = _decoder.HiddenSize, picture = _vision.Grid * _vision.Grid + _spatial.Tokens;
        AddEmbedding(Prefill, PrefillRows - picture, 1);
        AddRows(
            Prefill, "copy_rows_f32_f32", picture, hidden, (Precision.Full, Precision.Full), 1, 1, static (backend, y, x) => backend.Copy(y, x), "splice picture");
        AddLayers(Prefill, plans, PrefillRows, 1, 1);
        AddRows(
            Prefill, "copy_rows_f32_f32", 1, _decoder.VocabularySize, (Precision.Full, Precision.Full), 1, 1, static (backend, y, x) => backend.Copy(y, x),
            "keep logits");
    }

    private void AddDecode(WeightPlan[] plans, int batch)
    {
        AddEmbedding(Decode, batch, batch);
        AddLayers(Decode, plans, batch, 1, batch);
        foreach (WeightFormat format in Distinct(plans, static plan => plan.Head))
        {
            AddProduct(
                Decode, "logits", new Linear(batch, _decoder.VocabularySize, _decoder.HiddenSize, format) { To = Precision.Full, Norm = true }, batch, 1);
        }
    }

    /// <summary>The layers' kernels for so many rows of each of a batch of sequences.</summary>
    private void AddLayers(string stage, WeightPlan[] plans, int rows, int sequences, int batch)
    {
        int hidden = _decoder.HiddenSize, inner = _decoder.IntermediateSize, layers = _decoder.Layers;
        int queries = _decoder.Heads * _decoder.HeadDim, keys = _decoder.KvHeads * _decoder.HeadDim;
        AddRope(stage, rows, batch);
        AddCausalAttention(stage, rows, batch);
        foreach (WeightFormat format in Distinct(plans, static plan => plan.Decoder))
        {
            AddProduct(stage, "q, k, v", new Linear(rows, queries + 2 * keys, hidden, format) { Norm = true }, batch, layers * sequences);
            AddProduct(stage, "output", new Linear(rows, hidden, queries, format) { To = Precision.Full, Residual = true }, batch, layers * sequences);
            AddProduct(stage, "gate, up", new Linear(rows, inner, hidden, format) { Norm = true, Gated = true }, batch, layers * sequences);
            AddProduct(stage, "down", new Linear(rows, hidden, inner, format) { To = Precision.Full, Residual = true }, batch, layers * sequences);
        }
    }

    private void AddEmbedding(string stage, int ids, int batch)
    {
        int hidden = _decoder.HiddenSize;
        Add(
            stage, "embed_f32_f16", Invariant($"embed {ids} x {hidden}"), "f16", batch, 1, (double)ids * hidden * (sizeof(ushort) + sizeof(float)), backend =>
            {
                CudaWeight table = backend.CreateEmptyWeight(_decoder.VocabularySize, hidden, WeightFormat.F16, int8Mma: false);
                CudaTensor y = backend.CreateFilledTensor(ids, hidden);
                // Far from each other, as the ids of a text are.
                int[] rows = [.. Enumerable.Range(1, ids).Select(i => i * 7919 % _decoder.VocabularySize)];
                return (() => backend.Embed(y, table, rows), [table, y]);
            });
    }

    private void AddRope(string stage, int rows, int batch)
    {
        int heads = _decoder.Heads, keys = _decoder.KvHeads, width = _decoder.HeadDim, columns = (heads + 2 * keys) * width;
        // cos and sin of each position, which the sequences of a batch share.
        int positions = stage == Prefill ? rows : 1;
        double bytes = 2.0 * rows * columns * sizeof(ushort) + (double)positions * width * sizeof(float);
        Add(stage, "rope_and_cache_f16", Invariant($"rotate, cache {rows} x {columns}"), "", batch, _decoder.Layers, bytes, backend =>
        {
            CudaTensor query = backend.CreateFilledTensor(rows, heads * width, Precision.Operand), x = backend.CreateFilledTensor(rows, columns, Precision.Operand);
            CudaTensor cos = backend.CreateFilledTensor(DecodeLength, width / 2), sin = backend.CreateFilledTensor(DecodeLength, width / 2);
            CudaKvCache cache = Cache(backend, stage, rows, batch);
            DeviceBlock lengths = Lengths(backend, batch);
            IDisposable?[] memory = [query, x, cos, sin, cache, lengths];
            if (batch == 1)
            {
                int first = stage == Prefill ? 0 : DecodeLength - 1;
                return (() => backend.RopeAndCache(query, x, cache, 0, new RopeTable(cos, sin), first), memory);
            }

            return (() => backend.Attention.Rope(
                new RopeAndCacheArguments
                {
                    Query = query.Address,
                    QueryStride = query.Stride,
                    Keys = cache.Keys(0),
                    Values = cache.Values(0),
                    Pages = cache.Pages,
                    PageStride = DecodeLength / CudaKvCache.PagePositions,
                    Lengths = lengths.Address,
                    Qkv = x.Address,
                    Stride = x.Stride,
                    Cos = cos.Address,
                    CosStride = cos.Stride,
                    Sin = sin.Address,
                    SinStride = sin.Stride,
                    Rows = 1,
                    Heads = heads,
                    KvHeads = keys,
                    HeadDim = width,
                },
                Element.F16, batch), memory);
        });
    }

    private void AddCausalAttention(string stage, int rows, int batch)
    {
        int heads = _decoder.Heads, keys = _decoder.KvHeads, width = _decoder.HeadDim;
        bool prefill = stage == Prefill;
        int positions = prefill ? rows : DecodeLength;
        double bytes = sizeof(ushort) * (2.0 * rows * heads * width + 2.0 * (prefill ? 1 : batch) * positions * keys * width);
        double pairs = prefill ? rows * (rows + 1) / 2.0 : (double)batch * positions;
        string shape = prefill ? Invariant($"{rows} x {rows}, {heads} heads of {width}") : Invariant($"{batch} x {positions}, {heads} heads of {width}");
        Add(
            stage, prefill ? "prefill_attention_128" : "decode_attention_128", shape, "", batch, _decoder.Layers, bytes, backend =>
            {
                CudaTensor y = backend.CreateFilledTensor(rows, heads * width, Precision.Operand), q = backend.CreateFilledTensor(rows, heads * width, Precision.Operand);
                CudaKvCache cache = Cache(backend, stage, rows, batch);
                DeviceBlock lengths = Lengths(backend, batch);
                IDisposable?[] memory = [y, q, cache, lengths];
                if (batch == 1) return (() => backend.CausalAttention(y, q, cache, 0, prefill ? 0 : DecodeLength - 1), memory);
                AttentionKernels attention = backend.Attention;
                int splits = attention.Splits(DecodeLength, 1, heads, keys, width, batch);
                long partial = AttentionKernels.PartialBytes(splits, 1, heads, width, batch);
                return (() => attention.Decode(
                    new DecodeAttentionArguments
                    {
                        Output = y.Address,
                        OutputStride = y.Stride,
                        OutputElement = (int)Element.F16,
                        Query = q.Address,
                        QueryStride = q.Stride,
                        Arrived = splits == 1 ? 0 : backend.Counters(AttentionKernels.Counters(1, heads, keys, batch)),
                        Keys = cache.Keys(0),
                        Values = cache.Values(0),
                        Pages = cache.Pages,
                        PageStride = DecodeLength / CudaKvCache.PagePositions,
                        Lengths = lengths.Address,
                        Length = DecodeLength,
                        Rows = 1,
                        Heads = heads,
                        KvHeads = keys,
                        HeadDim = width,
                        Scale = AttentionKernels.Scale(width),
                    },
                    batch, splits, partial == 0 ? 0 : backend.Scratch(partial)), memory);
            },
            4 * pairs * heads * width, ArithmeticUnit.TensorF16);
    }

    /// <summary>One layer's cache with the positions of all sequences, one after the other.</summary>
    private CudaKvCache Cache(CudaBackend backend, string stage, int rows, int batch)
    {
        int positions = stage == Prefill ? rows : batch * DecodeLength;
        var cache = (CudaKvCache)backend.CreateKvCache(new KvCacheShape(1, _decoder.KvHeads, _decoder.HeadDim, positions, KvFormat.F16));
        cache.Reserve(positions);
        return cache;
    }

    private static DeviceBlock Lengths(CudaBackend backend, int batch)
    {
        DeviceBlock lengths = backend.Device.Allocate(batch * sizeof(int), "lengths");
        backend.Device.Fill(lengths.Address, DecodeLength, batch);
        return lengths;
    }

    private void AddNextToken()
    {
        int vocabulary = _decoder.VocabularySize;
        double logits = (double)vocabulary * sizeof(float);
        foreach (string kernel in (string[])["argmax_blocks", "argmax_result"])
        {
            Add(NextToken, kernel, Invariant($"argmax {vocabulary}"), "", 1, 1, kernel == "argmax_blocks" ? logits : sizeof(int), backend =>
            {
                CudaTensor x = backend.CreateFilledTensor(1, vocabulary);
                return (() => backend.Rows.Argmax(x, backend.Scratch(RowKernels.ArgmaxBytes)), [x]);
            });
        }

        var rule = new SamplingRule(1.1f, 0, 0, 0.7f, 50, 0.9f, 0.05f);
        foreach (string kernel in (string[])["sample_scores", "sample_masses", "sample_choose"])
        {
            Add(NextToken, kernel, Invariant($"sample {vocabulary}"), "", 1, 1, kernel == "sample_scores" ? 3 * logits : logits, backend =>
            {
                var sampler = (CudaSampler)backend.CreateSampler(rule, vocabulary);
                CudaTensor x = backend.CreateTensor(1, vocabulary) as CudaTensor ?? throw new InvalidOperationException();
                x.Write(Logits(vocabulary));
                // What the kernels before it leave.
                sampler.Queue(x, 0.5);
                return (() => sampler.Queue(x, 0.5), [sampler, x]);
            });
        }
    }

    /// <summary>Numbers as a model's: a few large ones among many, the same in every run.</summary>
    private static float[] Logits(int count)
    {
        var random = new Random(7);
        return [.. Enumerable.Range(0, count).Select(_ => (float)(random.NextDouble() * 4 + 12 * Math.Pow(random.NextDouble(), 40)))];
    }
}
