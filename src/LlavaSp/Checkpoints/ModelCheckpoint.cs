using LlavaSp.Quantization;

namespace LlavaSp.Checkpoints;

/// <summary>Where a model lies.</summary>
/// <param name="Model">Folder of the LLaVA-SP / LLaVA checkpoint, merged or LoRA.</param>
/// <param name="ModelBase">Folder of the base language model of a LoRA checkpoint; found by its name when null.</param>
/// <param name="VisionTower">Folder of the CLIP checkpoint; found by its name, or taken from the merged checkpoint, when null.</param>
public sealed record ModelLocation(string Model, string? ModelBase = null, string? VisionTower = null);

/// <summary>
/// A checkpoint as it is published, opened: configs parsed, tensors found under canonical names, nothing loaded yet.
/// </summary>
public sealed class ModelCheckpoint : IDisposable
{
    private ModelCheckpoint(ModelLocation location, TensorCatalog catalog)
    {
        Location = location;
        Catalog = catalog;
    }

    /// <summary>The folders, with those that were found by name filled in.</summary>
    public ModelLocation Location { get; private set; }

    /// <summary>Decoder.</summary>
    public DecoderConfig Decoder { get; private set; } = null!;

    /// <summary>Vision tower.</summary>
    public VisionConfig Vision { get; private set; } = null!;

    /// <summary>How pictures enter the prompt.</summary>
    public MultimodalConfig Multimodal { get; private set; } = null!;

    /// <summary>Variant of the spatial tokens.</summary>
    public SpatialConfig Spatial { get; private set; } = null!;

    /// <summary>Ids that end an answer.</summary>
    public IReadOnlyList<int> EndIds { get; private set; } = [];

    /// <summary>Folder with the tokenizer's files.</summary>
    public string TokenizerFolder { get; private set; } = null!;

    /// <summary>preprocessor_config.json, or null when there is none (CLIP's values then).</summary>
    public string? PreprocessorConfigPath { get; private set; }

    /// <summary>Format in which most of the matrices are stored.</summary>
    public WeightFormat StoredFormat { get; private set; }

    /// <summary>Bytes of the largest tensor in the files: peak memory while loading is the finished weights and two of these.</summary>
    public long LargestTensorBytes => Catalog.Entries.Values.Max(entry => entry.Info.ByteLength);

    /// <summary>What was found where, one line each.</summary>
    public IReadOnlyList<string> Notes => _notes;

    internal TensorCatalog Catalog { get; }

    internal JsonConfig Config { get; private set; } = null!;

    private readonly List<string> _notes = [];

    /// <summary>Opens a checkpoint.</summary>
    /// <exception cref="CheckpointException">Something is missing, damaged, or does not fit; the message says what and where.</exception>
    public static ModelCheckpoint Open(ModelLocation location) => Open(location, null);

    /// <summary>Opens a checkpoint whose tensors may be incomplete, for inspection.</summary>
    /// <param name="location">The folders.</param>
    /// <param name="problems">Receives what is wrong with the tensors.</param>
    /// <exception cref="CheckpointException">It cannot be opened at all.</exception>
    internal static ModelCheckpoint OpenIncomplete(ModelLocation location, List<string> problems) => Open(location, problems);

    private static ModelCheckpoint Open(ModelLocation location, List<string>? problems)
    {
        var checkpoint = new ModelCheckpoint(location, new TensorCatalog());
        try
        {
            checkpoint.Open(problems);
            return checkpoint;
        }
        catch
        {
            checkpoint.Dispose();
            throw;
        }
    }

    /// <summary>A checkpoint that lies in no folder: configs and tensors as they are given. It owns the catalog.</summary>
    internal static ModelCheckpoint FromParts(string name, DecoderConfig decoder, VisionConfig vision, MultimodalConfig multimodal, TensorCatalog catalog)
    {
        var checkpoint = new ModelCheckpoint(new ModelLocation(name), catalog)
        {
            Config = JsonConfig.Parse("{}"u8.ToArray(), name),
            Decoder = decoder,
            Vision = vision,
            Multimodal = multimodal,
            EndIds = [2],
            TokenizerFolder = name,
        };
        try
        {
            checkpoint.CheckVisionShapes();
            checkpoint.Spatial = SpatialConfig.Detect(catalog, vision.Grid, vision.HiddenSize);
            checkpoint.StoredFormat = checkpoint.FindStoredFormat(required: true);
            return checkpoint;
        }
        catch
        {
            checkpoint.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => Catalog.Dispose();

    private void Open(List<string>? problems)
    {
        string folder = CheckpointPaths.Require(Location.Model, "--model");
        string configPath = Path.Combine(folder, "config.json");
        if (!File.Exists(configPath)) throw new CheckpointException($"{folder}: has no config.json: give the folder of a LLaVA-SP or LLaVA checkpoint");
        Config = JsonConfig.Load(configPath);
        if (Config.Text("model_type") is "llava_mpt" or "mpt") throw new CheckpointException($"{configPath}: MPT decoders are not supported, only the Llama family is");
        // transformers keeps the decoder's fields apart, and writes only those that differ from its defaults.
        Decoder = DecoderConfig.Parse(Config.Object("text_config") ?? Config);
        Multimodal = MultimodalConfig.Parse(Config);
        ReadQuantization();

        OpenLanguageModel(folder);
        OpenVisionTower(folder);
        if (problems is null) CheckVisionShapes();
        DetectVariant(problems);
        if (Spatial.Mode is not null && !Multimodal.DropClassToken)
            throw new CheckpointException($"{configPath}: 'mm_vision_select_feature' keeps the class token, which spatial tokens cannot use");
        if (Multimodal.ImageAspectRatio == "anyres" && Multimodal.GridPinpoints.Length == 0)
            throw new CheckpointException($"{configPath}: 'image_aspect_ratio' is anyres, but 'image_grid_pinpoints' is missing");
        EndIds = ReadEndIds(folder);
        StoredFormat = FindStoredFormat(problems is null);
    }

    private void DetectVariant(List<string>? problems)
    {
        try
        {
            Spatial = SpatialConfig.Detect(Catalog, Vision.Grid, Vision.HiddenSize);
        }
        catch (CheckpointException e) when (problems is not null)
        {
            problems.Add(e.Message);
            Spatial = new SpatialConfig(null, [], 0, 0, "not recognised");
        }
    }

    private void OpenLanguageModel(string folder)
    {
        string adapterConfig = Path.Combine(folder, "adapter_config.json");
        TokenizerFolder = folder;
        if (!File.Exists(adapterConfig))
        {
            if (Location.ModelBase is not null && TensorFolder.TryOpen(folder, "mm_projector") is { } projector)
            {
                // Stage 1 of upstream's training: only the projector and the spatial tokens, on top of a base model.
                AddBase(Location.ModelBase);
                Catalog.Add(projector, folder, static _ => true);
                return;
            }

            ITensorSource model = TensorFolder.TryOpen(folder, "model") ?? TensorFolder.TryOpen(folder, "pytorch_model")
                ?? throw new CheckpointException($"{folder}: has no weights (model*.safetensors or pytorch_model*.bin)");
            Catalog.Add(model, folder, static _ => true);
            return;
        }

        string? baseName = JsonConfig.Load(adapterConfig).Text("base_model_name_or_path");
        string baseFolder = Location.ModelBase is not null
            ? CheckpointPaths.Require(Location.ModelBase, "--model-base")
            : (baseName is null ? null : CheckpointPaths.Resolve(folder, baseName))
                ?? throw new CheckpointException($"{folder}: is a LoRA on top of '{baseName}', which was not found: give its folder with --model-base");
        AddBase(baseFolder);

        Catalog.Add(
            TensorFolder.TryOpen(folder, "non_lora_trainables")
                ?? throw new CheckpointException($"{folder}: has adapter_config.json but no non_lora_trainables.safetensors or .bin: the projector is missing"),
            folder, static _ => true);
        using ITensorSource adapter = TensorFolder.TryOpen(folder, "adapter_model")
            ?? throw new CheckpointException($"{folder}: has adapter_config.json but no adapter_model.safetensors or .bin");
        Catalog.AddLora(LoraAdapter.Load(adapterConfig, adapter), folder);
        _notes.Add($"LoRA: {Catalog.LoraTargets.Count} matrices of {baseFolder} updated in float32 while loading");
    }

    private void AddBase(string baseFolder)
    {
        CheckpointPaths.Require(baseFolder, "--model-base");
        ITensorSource model = TensorFolder.TryOpen(baseFolder, "model") ?? TensorFolder.TryOpen(baseFolder, "pytorch_model")
            ?? throw new CheckpointException($"{baseFolder}: has no weights (model*.safetensors or pytorch_model*.bin)");
        Catalog.Add(model, baseFolder, static _ => true);
        Location = Location with { ModelBase = baseFolder };
        // Upstream takes the tokenizer of the base model.
        if (File.Exists(Path.Combine(baseFolder, "tokenizer.model"))) TokenizerFolder = baseFolder;
    }

    private void OpenVisionTower(string folder)
    {
        bool merged = Catalog.Entries.Keys.Any(NameMap.IsVision);
        string? tower = Location.VisionTower is { } given
            ? CheckpointPaths.Require(given, "--vision-tower")
            : Multimodal.VisionTower is { } name ? CheckpointPaths.Resolve(folder, name) : null;
        if (tower is not null && (!merged || Location.VisionTower is not null))
        {
            _notes.Add($"vision tower: weights of {tower}");
            ITensorSource source = TensorFolder.TryOpen(tower, "model") ?? TensorFolder.TryOpen(tower, "pytorch_model")
                ?? throw new CheckpointException($"{tower}: has no weights (model*.safetensors or pytorch_model*.bin)");
            Catalog.Add(source, tower, NameMap.IsVision);
        }
        else if (!merged)
        {
            throw new CheckpointException(
                $"{folder}: holds no vision tower, and '{Multimodal.VisionTower}' was not found beside it: give the CLIP folder with --vision-tower");
        }

        // A tower that was asked for brings its config along.
        bool own = Config.Has("vision_config") && Location.VisionTower is null;
        Location = Location with { VisionTower = tower };
        Vision = own ? VisionConfig.Parse(Config)
            : tower is not null ? VisionConfig.Parse(JsonConfig.Load(Path.Combine(tower, "config.json")))
            : VisionFromTensors(folder);
        PreprocessorConfigPath = new[] { folder, tower }.OfType<string>()
            .Select(path => Path.Combine(path, "preprocessor_config.json")).FirstOrDefault(File.Exists);
    }

    /// <summary>Sizes of a merged tower whose CLIP folder is not at hand; the number of heads is CLIP's convention of 64 channels each.</summary>
    private VisionConfig VisionFromTensors(string folder)
    {
        const string Patch = "vision_model.embeddings.patch_embedding.weight", Position = "vision_model.embeddings.position_embedding.weight";
        long[] patch = Catalog.Require(Patch).Info.Shape, position = Catalog.Require(Position).Info.Shape;
        long[] inner = Catalog.Require("vision_model.encoder.layers.0.mlp.fc1.weight").Info.Shape;
        int layers = 1;
        while (Catalog.Has($"vision_model.encoder.layers.{layers}.mlp.fc1.weight")) layers++;
        double grid = position.Length == 2 ? Math.Round(Math.Sqrt(Math.Max(0, position[0] - 1))) : 0;
        bool plausible = patch.Length == 4 && patch[0] % 64 == 0 && patch[0] is > 0 and <= 1 << 16 && patch[2] is > 0 and <= 1 << 10
            && inner.Length == 2 && inner[0] is > 0 and <= 1 << 18 && grid is > 0 and <= 1 << 10;
        if (!plausible)
        {
            throw new CheckpointException(
                $"{folder}: the sizes of its vision tower cannot be read from the tensors alone: give the CLIP folder with --vision-tower");
        }

        _notes.Add("vision tower: inside the checkpoint; its CLIP folder is not at hand, so heads of 64 channels and quick-GELU are taken for granted");
        return new VisionConfig
        {
            ImageSize = (int)grid * (int)patch[2],
            PatchSize = (int)patch[2],
            HiddenSize = (int)patch[0],
            IntermediateSize = (int)inner[0],
            Layers = layers,
            Heads = (int)patch[0] / 64,
            NormEpsilon = 1e-5f,
            Activation = Backends.Activation.QuickGelu,
        };
    }

    private void CheckVisionShapes()
    {
        CatalogEntry entry = Catalog.Require("vision_model.embeddings.position_embedding.weight");
        TensorInfo positions = entry.Info;
        long expected = (long)Vision.Grid * Vision.Grid + 1;
        if (positions.Shape.Length != 2 || positions.Shape[0] != expected || positions.Shape[1] != Vision.HiddenSize)
        {
            throw new CheckpointException(
                $"{entry.Place} is {positions.ShapeText}, the vision config asks for [{expected}, {Vision.HiddenSize}]");
        }
    }

    private void ReadQuantization()
    {
        if (Config.Object("quantization_config") is not { } quantization) return;
        if (quantization.Text("quant_method") is var method && method != QuantizedConfig.Method)
            throw new CheckpointException($"{quantization.Path}: quantisation method '{method}' is not supported: use the unquantised checkpoint");
        int group = quantization.Int("group_size");
        Catalog.GroupSize = group is 32 or 64 or 128 ? group : throw new CheckpointException($"{quantization.Path}: 'group_size' {group} is not 32, 64 or 128");
    }

    private int[] ReadEndIds(string folder)
    {
        int[] ids = JsonConfig.TryLoad(Path.Combine(folder, "generation_config.json"))?.Ints("eos_token_id") ?? [];
        if (ids.Length == 0) ids = (Config.Object("text_config") ?? Config).Ints("eos_token_id");
        return ids.Length > 0 ? ids : [2];
    }

    private WeightFormat FindStoredFormat(bool required)
    {
        const string Sample = "model.layers.0.self_attn.q_proj.weight";
        if (!Catalog.Entries.TryGetValue(Sample, out CatalogEntry? entry) && required)
            throw new CheckpointException($"{Location.Model}: tensor '{Sample}' is missing: not a Llama-family decoder");
        return entry?.Info.DType switch
        {
            DType.I8 when Catalog.GroupSize > 0 => WeightFormat.Int8(Catalog.GroupSize),
            DType.U8 when Catalog.GroupSize > 0 => WeightFormat.Int4(Catalog.GroupSize),
            DType.F16 => WeightFormat.F16,
            DType.BF16 => WeightFormat.BF16,
            _ => WeightFormat.F32,
        };
    }
}
