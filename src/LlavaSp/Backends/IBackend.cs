using LlavaSp.Quantization;

namespace LlavaSp.Backends;

/// <summary>Function applied to the result of a matrix product before the residual is added.</summary>
public enum Activation
{
    /// <summary>None.</summary>
    None,

    /// <summary>GELU with the error function (projector, conv_linear).</summary>
    Gelu,

    /// <summary>x * sigmoid(1.702 x), as CLIP has it.</summary>
    QuickGelu,
}

/// <summary>How exact an activation must be.</summary>
public enum Precision
{
    /// <summary>float32: residual streams, logits, tables, and what leaves the graph.</summary>
    Full,

    /// <summary>Made by one operation for the next: a backend may hold it in the element type of its matrix products.</summary>
    Operand,

    /// <summary>Queries of attention over a key-value cache: a backend may hold them in the cache's element type.</summary>
    Query,
}

/// <summary>Where the spatial tokens look (paper section 3: Pooling or Cropping).</summary>
public enum SpatialMode
{
    /// <summary>Adaptive average pool of the grid to k x k.</summary>
    Pooling,

    /// <summary>Centre crop of k x k; the fusion clears NaN as the paper's code does.</summary>
    Cropping,
}

/// <summary>What follows a matrix product in the same pass: y = activation(x W^T + bias) + residual.</summary>
/// <param name="Bias">[1, rows of the weight], or null.</param>
/// <param name="Activation">Applied after the bias.</param>
/// <param name="Residual">[rows of x, rows of the weight], or null; may be the destination itself.</param>
public readonly record struct Epilogue(Tensor? Bias = null, Activation Activation = Activation.None, Tensor? Residual = null);

/// <summary>What a backend is, for logs and JSON: never left unsaid.</summary>
/// <param name="Device">Device as the command line names it, e.g. <c>cpu</c>.</param>
/// <param name="InstructionSet">Instruction set or architecture, e.g. <c>avx512vnni</c>.</param>
/// <param name="Threads">Worker threads.</param>
/// <param name="Reason">Why this one was chosen.</param>
public sealed record BackendInfo(string Device, string InstructionSet, int Threads, string Reason);

/// <summary>Weights of the CLIP embedding: patches [d, 3*p*p], class token and positions [n+1, d] (row 0 belongs to the class token), pre-LayerNorm.</summary>
public sealed record PatchEmbeddingWeights(
    Weight Patches, Tensor ClassToken, Tensor Positions, Tensor NormWeight, Tensor NormBias, float NormEpsilon, int PatchSize, int ImageSize);

/// <summary>Pixels of tiles as the preprocessor leaves them.</summary>
/// <param name="Tiles">Number of tiles.</param>
/// <param name="Size">Edge in pixels.</param>
/// <param name="Pixels">[tiles, 3, size, size] 8-bit RGB planes.</param>
/// <param name="Lookup">[3, 256] float32: the normalised value of every 8-bit value of every channel.</param>
public sealed record TilePixels(int Tiles, int Size, ReadOnlyMemory<byte> Pixels, ReadOnlyMemory<float> Lookup);

/// <summary>
/// One convolution of the spatial tokens: k x k over the crop or the pooled map, one output position.
/// </summary>
/// <param name="KernelSize">k.</param>
/// <param name="Kernel">[width, k*k*d]: position-major, channel-minor, the order in which patch features lie.</param>
public sealed record SpatialConvolution(int KernelSize, Weight Kernel);

/// <summary>LayerNorm followed by a linear layer with bias: query, key or value projection of the detail fusion.</summary>
public sealed record NormLinear(Tensor NormWeight, Tensor NormBias, Weight Linear, Tensor Bias);

/// <summary>
/// Detail fusion (DFI): conv_CM [width, k*k*d] over the grid with a stride, and the cross-attention of the spatial tokens to its positions.
/// </summary>
public sealed record DetailFusionWeights(int KernelSize, int Stride, Weight Kernel, NormLinear Query, NormLinear Key, NormLinear Value, float NormEpsilon);

/// <summary>Rotary embedding: row p belongs to position p.</summary>
/// <param name="Cos">[capacity, headDim / 2].</param>
/// <param name="Sin">[capacity, headDim / 2].</param>
public sealed record RopeTable(Tensor Cos, Tensor Sin);

/// <summary>Receives intermediate tensors under the names that the goldens use.</summary>
public interface ITraceSink
{
    /// <summary>Whether anybody wants this tensor; asked before it is copied.</summary>
    bool Wants(string name);

    /// <summary>Takes a tensor.</summary>
    void Add(string name, ReadOnlySpan<float> values, params ReadOnlySpan<long> shape);
}

/// <summary>Names of traced tensors.</summary>
public static class TraceNames
{
    /// <summary>The name inside tile <paramref name="tile"/>: as it is for a single tile, else <c>tileN.name</c>.</summary>
    public static string Tile(int tiles, int tile, string name) => tiles == 1 ? name : $"tile{tile}.{name}";

    /// <summary>Queries, keys and values of a decoder layer [rows, (heads + 2 * kvHeads) * headDim], not rotated yet.</summary>
    public static string Qkv(int layer) => $"layer{layer}.qkv";
}

/// <summary>
/// Records operations that come again and again in the same order on the same tensors, only with other positions and contents: a decode step. Operations
/// between <see cref="Begin"/> and <see cref="End"/> need not be carried out before the end; those that wait, or that take row numbers, have no place there.
/// </summary>
public interface IStepRecorder : IDisposable
{
    /// <summary>Begins the step.</summary>
    void Begin();

    /// <summary>Ends it and carries it out, or drops it where an exception cut it short.</summary>
    void End(bool completed);
}

/// <summary>
/// What a device must do. Operations are coarse and fused; all tensors are [rows, columns]; a destination is overwritten. Calls on one backend
/// come from one thread at a time and are carried out in order; only <see cref="Tensor.Read"/>, <see cref="Argmax"/>,
/// <see cref="DeviceSampler.Choose"/> and <see cref="Synchronize"/> wait for them.
/// </summary>
public interface IBackend : IDisposable
{
    /// <summary>What it is and why it was chosen.</summary>
    BackendInfo Info { get; }

    /// <summary>Most bytes of its own memory that the device has held; 0 where that is this machine's memory.</summary>
    long PeakDeviceBytes => 0;

    /// <summary>Bytes of the device's own memory; 0 where that is this machine's memory.</summary>
    long DeviceBytes => 0;

    /// <summary>The weight format taken when none is asked for.</summary>
    /// <param name="stored">Format of the checkpoint.</param>
    WeightFormat DefaultFormat(WeightFormat stored) => stored;

    /// <summary>
    /// Told once, before anything is created, which format the weights will be asked for in: a backend may hold <see cref="Precision.Operand"/> accordingly.
    /// </summary>
    /// <exception cref="DeviceException">The device cannot compute with it.</exception>
    void UseWeights(WeightFormat format) { }

    /// <summary>Whether matrices may have this format beside those that <see cref="UseWeights"/> was told of.</summary>
    bool Holds(WeightFormat format) => true;

    /// <summary>Whether key-value caches may have this element type.</summary>
    bool Holds(KvFormat format) => true;

    /// <summary>An activation with undefined contents.</summary>
    Tensor CreateTensor(int rows, int columns, Precision precision = Precision.Full);

    /// <summary>Packs a weight matrix in <paramref name="format"/>; reads the source block by block.</summary>
    Weight CreateWeight(WeightSource source, WeightFormat format);

    /// <summary>An empty cache.</summary>
    KvCache CreateKvCache(KvCacheShape shape);

    /// <summary>Keys and values of the first positions of one cache over those of another, so that sequences which begin alike compute them once.</summary>
    /// <param name="destination">Of the same shape but for its capacity.</param>
    /// <param name="source">Holds at least so many positions.</param>
    /// <param name="positions">How many.</param>
    void CopyCache(KvCache destination, KvCache source, int positions);

    /// <summary>Copies rows of one tensor over those of another of the same size.</summary>
    void Copy(Tensor destination, Tensor source);

    /// <summary>destination [rows.Length, columns]: row i is row rows[i] of the source.</summary>
    void Gather(Tensor destination, Tensor source, ReadOnlySpan<int> rows);

    /// <summary>A recorder for one kind of step; null where recording gains nothing.</summary>
    IStepRecorder? CreateStepRecorder() => null;

    /// <summary>A clock for work in the order in which it is given.</summary>
    IWorkClock CreateClock() => new HostClock(this);

    /// <summary>Waits until all work is done; backends that return only then have nothing to do.</summary>
    void Synchronize() { }

    /// <summary>
    /// CLIP embedding with pre-LayerNorm: destination [tiles * (n+1), d], every tile's class token first.
    /// </summary>
    void PatchEmbedding(Tensor destination, TilePixels pixels, PatchEmbeddingWeights weights);

    /// <summary>LayerNorm of every row.</summary>
    void LayerNorm(Tensor destination, Tensor source, Tensor weight, Tensor bias, float epsilon);

    /// <summary>RMSNorm of every row.</summary>
    void RmsNorm(Tensor destination, Tensor source, Tensor weight, float epsilon);

    /// <summary>destination [m, n] = epilogue(source [m, k] * weight [n, k]^T). Destination and source do not overlap.</summary>
    void Linear(Tensor destination, Tensor source, Weight weight, Epilogue epilogue = default);

    /// <summary>
    /// Full self-attention inside each of <paramref name="batch"/> equal blocks of rows. qkv [batch*n, 3*heads*headDim] holds query, key, value side by
    /// side; scale 1/sqrt(headDim); destination [batch*n, heads*headDim].
    /// </summary>
    void FullAttention(Tensor destination, Tensor qkv, int batch, int heads);

    /// <summary>
    /// Splits qkv [m, (heads + 2*kvHeads) * headDim], rotates queries and keys (half-split), leaves the queries in <paramref name="query"/>
    /// [m, heads*headDim] and writes keys and values to positions first … first + m - 1 of the cache; row i stands at position first + i.
    /// </summary>
    void RopeAndCache(Tensor query, Tensor qkv, KvCache cache, int layer, RopeTable rope, int first);

    /// <summary>
    /// Causal attention (GQA): query row i stands at position first + i and sees cache positions 0 … first + i. Scale 1/sqrt(headDim).
    /// </summary>
    void CausalAttention(Tensor destination, Tensor query, KvCache cache, int layer, int first);

    /// <summary>SwiGLU: gateUp [m, 2*n] holds gate and up side by side; destination [m, n] = silu(gate) * up.</summary>
    void GatedActivation(Tensor destination, Tensor gateUp);

    /// <summary>RMSNorm and product: destination [m, n] = epilogue(rmsNorm(source [m, k]) * weight [n, k]^T).</summary>
    /// <param name="destination">May not be one of the others.</param>
    /// <param name="normed">[m, k] scratch, undefined afterwards: a backend that fuses the two does not need it.</param>
    /// <param name="source">[m, k].</param>
    /// <param name="normWeight">[1, k].</param>
    /// <param name="epsilon">Added to the mean square.</param>
    /// <param name="weight">[n, k].</param>
    /// <param name="epilogue">What follows the product.</param>
    void NormLinear(Tensor destination, Tensor normed, Tensor source, Tensor normWeight, float epsilon, Weight weight, Epilogue epilogue = default)
    {
        RmsNorm(normed, source, normWeight, epsilon);
        Linear(destination, normed, weight, epilogue);
    }

    /// <summary>Activation and product, the end of the spatial tokens: destination [m, n] = epilogue(activation(source [m, k]) * weight [n, k]^T).</summary>
    /// <param name="destination">May not be one of the others.</param>
    /// <param name="activated">[m, k] scratch, undefined afterwards: a backend that fuses the two does not need it.</param>
    /// <param name="source">[m, k].</param>
    /// <param name="activation">What precedes the product, element by element.</param>
    /// <param name="weight">[n, k].</param>
    /// <param name="epilogue">What follows the product.</param>
    void ActivationLinear(Tensor destination, Tensor activated, Tensor source, Activation activation, Weight weight, Epilogue epilogue = default)
    {
        Activate(activated, source, activation);
        Linear(destination, activated, weight, epilogue);
    }

    /// <summary>RMSNorm, product and SwiGLU: destination [m, n] = silu(g) * u with g, u side by side in rmsNorm(source [m, k]) * weight [2n, k]^T.</summary>
    /// <param name="destination">May not be one of the others.</param>
    /// <param name="gateUp">[m, 2n] scratch, undefined afterwards.</param>
    /// <param name="normed">[m, k] scratch, undefined afterwards.</param>
    /// <param name="source">[m, k].</param>
    /// <param name="normWeight">[1, k].</param>
    /// <param name="epsilon">Added to the mean square.</param>
    /// <param name="weight">[2n, k]: the gate's rows, then the other's.</param>
    void GatedNormLinear(Tensor destination, Tensor gateUp, Tensor normed, Tensor source, Tensor normWeight, float epsilon, Weight weight)
    {
        NormLinear(gateUp, normed, source, normWeight, epsilon, weight);
        GatedActivation(destination, gateUp);
    }

    /// <summary><see cref="RopeAndCache"/> and <see cref="CausalAttention"/>: destination [m, heads*headDim].</summary>
    /// <param name="destination">Not the scratch.</param>
    /// <param name="query">[m, heads*headDim] scratch, undefined afterwards.</param>
    /// <param name="qkv">[m, (heads + 2*kvHeads) * headDim].</param>
    /// <param name="cache">Receives keys and values of positions first … first + m - 1.</param>
    /// <param name="layer">Layer of the cache.</param>
    /// <param name="rope">Rotary tables.</param>
    /// <param name="first">Position of row 0.</param>
    void RopeAttention(Tensor destination, Tensor query, Tensor qkv, KvCache cache, int layer, RopeTable rope, int first)
    {
        RopeAndCache(query, qkv, cache, layer, rope, first);
        CausalAttention(destination, query, cache, layer, first);
    }

    /// <summary>
    /// Spatial tokens (SFE): features [tiles*grid*grid, d]; destination [tiles*convolutions, width], tile by tile one row per kernel in the order
    /// given. Every kernel is read once for all tiles. Traces, per tile (<see cref="TraceNames.Tile"/>), <c>sp.pool.K</c> [d, K, K] and <c>sp.conv.K</c>
    /// [width] where it holds them.
    /// </summary>
    void SpatialTokens(
        Tensor destination, Tensor features, int tiles, SpatialMode mode, IReadOnlyList<SpatialConvolution> convolutions, ITraceSink? trace);

    /// <summary>
    /// Detail fusion (DFI), for each of <paramref name="tiles"/> blocks of tokens [tiles*t, width] and features [tiles*grid*grid, d]: destination
    /// [tiles*t, 2*width] = concat(tokens, softmax(q k^T / sqrt(width)) v); NaN cleared to zero (infinities to the largest finite value) in tokens, conv_CM
    /// and attention logits, as torch.nan_to_num does. Traces, per tile, <c>sp.conv_CM</c> [width, g, g], <c>sp.query</c>, <c>sp.key</c>, <c>sp.value</c>,
    /// <c>sp.attn_logits</c>, <c>sp.attn_probs</c>, <c>sp.attn_out</c> where it holds them.
    /// </summary>
    void DetailFusion(Tensor destination, Tensor tokens, Tensor features, int tiles, DetailFusionWeights weights, ITraceSink? trace);

    /// <summary>destination = activation(source), element by element.</summary>
    void Activate(Tensor destination, Tensor source, Activation activation);

    /// <summary>destination [ids, d] = rows of the embedding table.</summary>
    void Embed(Tensor destination, Weight table, ReadOnlySpan<int> ids);

    /// <summary>Index of the largest element of a one-row tensor; the first of equals. NaN anywhere is an error.</summary>
    int Argmax(Tensor logits);

    /// <summary>
    /// A sampler for one answer that works on the device; null where logits lie in the host's memory anyway, and the host's sampler does as well.
    /// </summary>
    /// <param name="rule">How tokens are chosen.</param>
    /// <param name="vocabulary">Number of logits.</param>
    DeviceSampler? CreateSampler(SamplingRule rule, int vocabulary) => null;
}
