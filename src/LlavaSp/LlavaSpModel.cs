using System.Diagnostics;
using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Generation;
using LlavaSp.Graph;
using LlavaSp.Imaging;
using LlavaSp.Quantization;
using LlavaSp.Text;
using Microsoft.Extensions.Logging;

namespace LlavaSp;

/// <summary>
/// A loaded LLaVA-SP (or LLaVA-1.5/1.6) model: weights on a device, tokenizer, preprocessor. Thread-safe except that answers are computed one at a time.
/// </summary>
public sealed class LlavaSpModel : IDisposable
{
    private readonly LlavaTokenizer? _tokenizer;
    private readonly ImagePreprocessor _preprocessor;

    // A backend takes calls from one thread at a time, also those that make and free tensors.
    private readonly SemaphoreSlim _gate = new(1, 1);

    private LlavaSpModel(
        ModelCheckpoint checkpoint, IBackend backend, ImageEncoder encoder, Decoder decoder, LlavaTokenizer? tokenizer, ImagePreprocessor preprocessor,
        WeightFormat weights, KvFormat kvFormat)
    {
        Checkpoint = checkpoint;
        Backend = backend;
        Encoder = encoder;
        Decoder = decoder;
        _tokenizer = tokenizer;
        _preprocessor = preprocessor;
        Weights = weights;
        KvFormat = kvFormat;
    }

    /// <summary>Config of everything; its files are closed after loading.</summary>
    public ModelCheckpoint Checkpoint { get; }

    /// <summary>Device, instruction set, threads, and why.</summary>
    public BackendInfo Device => Backend.Info;

    /// <summary>Weight format in memory.</summary>
    public WeightFormat Weights { get; }

    /// <summary>Format of the vision tower and the projector in memory.</summary>
    public WeightFormat VisionWeights { get; private init; }

    /// <summary>Why the weights have that format.</summary>
    public string WeightsReason { get; private init; } = "";

    /// <summary>Most bytes of its own memory that the device has held; 0 where that is this machine's memory.</summary>
    public long PeakDeviceBytes => Backend.PeakDeviceBytes;

    /// <summary>Element type of key-value caches.</summary>
    public KvFormat KvFormat { get; }

    /// <summary>Milliseconds that loading took.</summary>
    public double LoadMilliseconds { get; private init; }

    /// <summary>Bytes of all weight matrices as the device holds them.</summary>
    public long WeightBytes => StageBytes.Sum(stage => stage.Bytes);

    /// <summary>Bytes of the matrices of each stage.</summary>
    public IReadOnlyList<(string Stage, long Bytes)> StageBytes =>
    [
        ("vision tower", Encoder.Vision.Weights.ByteLength), ("spatial tokens", Encoder.Spatial?.Weights.ByteLength ?? 0),
        ("projector", Encoder.Projector.Weights.ByteLength), ("decoder", Decoder.Weights.ByteLength), ("embedding", Decoder.Embeddings.ByteLength),
    ];

    /// <summary>The tokenizer.</summary>
    public LlavaTokenizer Tokenizer => _tokenizer ?? throw new InvalidOperationException("a synthetic model has no tokenizer");

    internal IBackend Backend { get; }

    internal ImageEncoder Encoder { get; }

    internal Decoder Decoder { get; }


    /// <summary>Loads a checkpoint as its authors publish it.</summary>
    /// <param name="path">Folder of the checkpoint.</param>
    /// <param name="options">Options; null takes the defaults.</param>
    /// <exception cref="LlavaSpException">The checkpoint or the device is not what was asked for; one line says what to do.</exception>
    public static LlavaSpModel Load(string path, LoadOptions? options = null)
    {
        options ??= new LoadOptions();
        long start = Stopwatch.GetTimestamp();
        using ModelCheckpoint checkpoint = ModelCheckpoint.Open(new ModelLocation(path, options.ModelBase, options.VisionTower));
        LlavaTokenizer tokenizer = LlavaTokenizer.Load(checkpoint.TokenizerFolder);
        return Load(checkpoint, tokenizer, options, start);
    }

    /// <summary>Loads the weights of an opened checkpoint.</summary>
    internal static LlavaSpModel Load(
        ModelCheckpoint checkpoint, LlavaTokenizer? tokenizer, LoadOptions options, long start, Func<DeviceOptions, IBackend>? createBackend = null)
    {
        ImagePreprocessor preprocessor = CreatePreprocessor(checkpoint);
        IBackend backend = (createBackend ?? BackendFactory.Create)(options.Device);
        ImageEncoder? encoder = null;
        try
        {
            WeightFormat format = options.Weights ?? backend.DefaultFormat(checkpoint.StoredFormat);
            string reason = options.Weights is not null ? "asked for"
                : format == checkpoint.StoredFormat ? "as the checkpoint holds them"
                : $"{backend.Info.Device} does not hold the checkpoint's {checkpoint.StoredFormat}";
            backend.UseWeights(format);
            KvFormat kv = ChooseKvFormat(options, backend, format);
            var plan = WeightPlan.For(format, options.VisionWeights);
            if (options.VisionWeights is not null && !backend.Holds(plan.Vision))
                throw new DeviceException($"{backend.Info.Device} cannot hold {plan.Vision} vision weights beside {format} ones: use {backend.DefaultFormat(plan.Vision)} or int8");
            options.Progress?.Report(new LoadProgress("vision tower", 0));
            encoder = ImageEncoder.Load(backend, checkpoint, plan, options.AllHiddenStates);
            int layers = checkpoint.Decoder.Layers;
            Decoder decoder = Decoder.Load(
                backend, checkpoint.Catalog, checkpoint.Decoder, plan,
                done => options.Progress?.Report(new LoadProgress("decoder", 0.2 + 0.8 * done / layers)));
            RefuseUnreadLayers(checkpoint);
            options.Logger?.LogInformation(
                "device {Device} ({InstructionSet}, {Threads} threads): {Reason}; weights {Weights} ({WeightsReason}), KV cache {KvFormat}; "
                + "variant {Variant}: {VariantReason}",
                backend.Info.Device, backend.Info.InstructionSet, backend.Info.Threads, backend.Info.Reason, format, reason, kv,
                checkpoint.Spatial.Variant, checkpoint.Spatial.Reason);
            return new LlavaSpModel(checkpoint, backend, encoder, decoder, tokenizer, preprocessor, format, kv)
            {
                VisionWeights = plan.Vision,
                WeightsReason = reason,
                LoadMilliseconds = Stopwatch.GetElapsedTime(start).TotalMilliseconds,
            };
        }
        catch (DeviceException e) when (e.IsOutOfMemory && backend.DeviceBytes > 0)
        {
            string advice = WeightMemory.Advice(checkpoint, backend.DeviceBytes);
            Release();
            throw new DeviceException($"{e.Message}; {advice}", e) { IsOutOfMemory = true };
        }
        catch
        {
            Release();
            throw;
        }

        void Release()
        {
            encoder?.Dispose();
            backend.Dispose();
        }
    }

    /// <summary>Resizes, pads or tiles a decoded picture as the checkpoint asks for.</summary>
    public PreparedImage Prepare(RgbImage image) => _preprocessor.Prepare(image);

    /// <summary>Where a tile of a prepared picture lies in the picture, in pixels of the picture.</summary>
    /// <param name="image">What <see cref="Prepare"/> gave.</param>
    /// <param name="tile">Index of the tile; 0 is the only one, or under anyres the whole picture.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such tile.</exception>
    public TileView ViewOf(PreparedImage image, int tile) => _preprocessor.ViewOf(image, tile);

    /// <summary>Ids of a prompt in which <c>&lt;image&gt;</c> stands for pictures; the beginning-of-text token is added as upstream does.</summary>
    public int[] Encode(string prompt) => ImageToken.Encode(Tokenizer, prompt);

    /// <summary>A sequence of its own: key-value cache, prefix reuse, generation.</summary>
    /// <param name="contextLength">Positions of its cache; null takes all that the model was trained for.</param>
    /// <exception cref="PromptException">More positions than the model has.</exception>
    public LlavaSpSession CreateSession(int? contextLength = null)
    {
        int limit = Checkpoint.Decoder.ContextLength;
        if (contextLength is < 1 || contextLength > limit)
            throw new PromptException($"a context of {contextLength} positions was asked for; this model has {limit}");
        return new LlavaSpSession(this, contextLength ?? limit);
    }

    /// <summary>Several sequences side by side: throughput, where a session is for latency.</summary>
    /// <param name="size">Prompts to answer at once.</param>
    /// <param name="contextLength">Positions of each; null takes all that the model was trained for.</param>
    /// <exception cref="PromptException">More positions than the model has, or, under dynamic rope scaling, than it was trained for.</exception>
    public LlavaSpBatch CreateBatch(int size, int? contextLength = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(size, 1);
        int limit = BatchContextLength;
        if (contextLength is < 1 || contextLength > limit)
            throw new PromptException($"a context of {contextLength} positions was asked for; a batch of this model has {limit}");
        return new LlavaSpBatch(this, size, contextLength ?? limit);
    }

    /// <summary>
    /// Most positions of a sequence of a batch: under dynamic rope scaling, keys beyond the trained length depend on their own sequence's length, and
    /// sequences could not share tables.
    /// </summary>
    internal int BatchContextLength => Checkpoint.Decoder is { RopeScaling: RopeScalingKind.Dynamic } decoder
        ? Math.Min(decoder.ContextLength, decoder.MaxPositions)
        : Checkpoint.Decoder.ContextLength;

    /// <summary>Work that takes its turn: that of all sessions and batches is done one after the other.</summary>
    internal T Exclusively<T>(Func<T> work, CancellationToken cancellationToken = default)
    {
        _gate.Wait(cancellationToken);
        try
        {
            return work();
        }
        finally
        {
            _gate.Release();
        }
    }

    /// <inheritdoc cref="Exclusively{T}"/>
    internal void Exclusively(Action work, CancellationToken cancellationToken = default) => Exclusively(
        () =>
        {
            work();
            return true;
        },
        cancellationToken);

    /// <summary>A request's prompt with its pictures spliced in.</summary>
    /// <exception cref="PromptException">Placeholders and pictures do not match, or an id is unknown.</exception>
    internal PromptSequence Sequence(GenerationRequest request) => PromptSequence.Create(
        request.PromptIds, request.Images, Encoder.LengthOf, Checkpoint.Decoder.VocabularySize);

    /// <inheritdoc/>
    public void Dispose()
    {
        Encoder.Dispose();
        Decoder.Dispose();
        Backend.Dispose();
    }

    /// <summary>A tensor inside the decoder's layers that nothing reads means another architecture: answers would be wrong without a word.</summary>
    private static void RefuseUnreadLayers(ModelCheckpoint checkpoint)
    {
        string? unread = checkpoint.Catalog.Unused.FirstOrDefault(static name => name.StartsWith("model.layers.", StringComparison.Ordinal));
        if (unread is null) return;
        throw new CheckpointException(
            $"{checkpoint.Location.Model}: tensor '{unread}' is not part of the decoder that config.json describes: check num_hidden_layers and the architecture");
    }

    private static KvFormat ChooseKvFormat(LoadOptions options, IBackend backend, WeightFormat weights)
    {
        if (options.KvFormat is { } asked)
        {
            return backend.Holds(asked)
                ? asked
                : throw new DeviceException(
                    $"{backend.Info.Device} has no key-value cache of {asked.ToString().ToLowerInvariant()}: leave --kv out, or use --device "
                    + (asked == KvFormat.Int8 ? "cuda or reference" : "cpu"));
        }

        KvFormat wanted = options.PreferredKvFormat ?? (weights == WeightFormat.F32 ? KvFormat.F32 : KvFormat.F16);
        return backend.Holds(wanted) ? wanted : KvFormat.F16;
    }

    private static ImagePreprocessor CreatePreprocessor(ModelCheckpoint checkpoint)
    {
        PreprocessorConfig config = checkpoint.PreprocessorConfigPath is { } path
            ? PreprocessorConfig.Parse(File.ReadAllBytes(path), path)
            : PreprocessorConfig.ClipDefault(checkpoint.Vision.ImageSize);
        if (config.TileSize != checkpoint.Vision.ImageSize)
        {
            throw new CheckpointException(
                $"{checkpoint.PreprocessorConfigPath}: makes tiles of {config.TileSize} pixels, the vision tower takes {checkpoint.Vision.ImageSize}");
        }

        string configPath = Path.Combine(checkpoint.Location.Model, "config.json");
        bool anyres = checkpoint.Multimodal.ImageAspectRatio == "anyres";
        GridPinpoints? pinpoints = anyres ? new GridPinpoints(checkpoint.Multimodal.GridPinpoints, config.TileSize, configPath) : null;
        return new ImagePreprocessor(config, checkpoint.Multimodal.ImageAspectRatio, pinpoints);
    }
}
