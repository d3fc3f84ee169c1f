using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Generation;
using LlavaSp.Imaging;

namespace LlavaSp.Graph;

/// <summary>From the tiles of a picture to the rows that replace its placeholder: vision tower, spatial tokens, projector, order.</summary>
internal sealed class ImageEncoder : IDisposable
{
    private readonly IBackend _backend;
    private readonly int _hidden;
    private readonly int _grid;
    private readonly PatchMergeType _merge;
    private readonly StageWeights _newlineWeights;
    private readonly Tensor? _newline;

    private ImageEncoder(
        IBackend backend, ModelCheckpoint checkpoint, VisionTower vision, SpatialTokens? spatial, Projector projector)
    {
        _backend = backend;
        _hidden = checkpoint.Decoder.HiddenSize;
        _grid = checkpoint.Vision.Grid;
        _merge = checkpoint.Multimodal.PatchMergeType;
        Vision = vision;
        Spatial = spatial;
        Projector = projector;
        _newlineWeights = new StageWeights(backend, checkpoint.Catalog);
        bool anyres = checkpoint.Multimodal.ImageAspectRatio == "anyres";
        if (anyres && _merge != PatchMergeType.Flat && !checkpoint.Multimodal.DropClassToken)
        {
            throw new CheckpointException(
                "config.json: 'mm_vision_select_feature' keeps the class token, which has no place in the grid that 'mm_patch_merge_type' asks for");
        }

        _newline = anyres && _merge == PatchMergeType.SpatialUnpad ? _newlineWeights.Vector("image_newline", _hidden) : null;
    }

    /// <summary>Vision tower.</summary>
    public VisionTower Vision { get; }

    /// <summary>Spatial tokens; null for LLaVA without them.</summary>
    public SpatialTokens? Spatial { get; }

    /// <summary>Projector.</summary>
    public Projector Projector { get; }

    /// <summary>Loads the three stages.</summary>
    public static ImageEncoder Load(IBackend backend, ModelCheckpoint checkpoint, WeightPlan plan, bool allHiddenStates)
    {
        TensorCatalog catalog = checkpoint.Catalog;
        int channels = checkpoint.Vision.HiddenSize, hidden = checkpoint.Decoder.HiddenSize;
        return new ImageEncoder(
            backend, checkpoint,
            VisionTower.Load(backend, catalog, checkpoint.Vision, checkpoint.Multimodal, plan, allHiddenStates),
            checkpoint.Spatial.Mode is null ? null : SpatialTokens.Load(backend, catalog, checkpoint.Spatial, channels, hidden, plan),
            Projector.Load(backend, catalog, checkpoint.Multimodal.ProjectorType, channels, hidden, plan));
    }

    /// <summary>Rows that a picture will take in the prompt.</summary>
    public int LengthOf(PreparedImage image) => Order(image).Length;

    /// <summary>Features of a picture: [length, hidden]. The caller disposes them.</summary>
    public Tensor Encode(PreparedImage image, StageTimer timer, ITraceSink? trace)
    {
        int tiles = image.Pixels.Tiles, spatial = Spatial?.TokensPerTile ?? 0, patches = Vision.TokensPerTile;
        TraceInput(image, trace);
        timer.Begin();
        using Tensor features = _backend.CreateTensor(tiles * patches, Vision.Width, Precision.Operand);
        Vision.Encode(features, image.Pixels, trace);
        TracePatches(features, tiles, trace);
        timer.End(Stage.Vision);

        // A single tile is in order already, and nothing follows its rows.
        bool ordered = image.Geometry is null;
        Tensor? newline = ordered ? null : _newline;
        Tensor all = _backend.CreateTensor(tiles * (spatial + patches) + (newline is null ? 0 : 1), _hidden);
        Tensor result = all;
        try
        {
            if (Spatial is not null)
            {
                timer.Begin();
                Spatial.Encode(all.Slice(0, tiles * spatial), features, tiles, trace);
                timer.End(Stage.SpatialTokens);
            }

            timer.Begin();
            Projector.Project(all.Slice(tiles * spatial, tiles * patches), features);
            if (newline is not null) _backend.Copy(all.Slice(all.Rows - 1, 1), newline);
            if (!ordered)
            {
                int[] rows = Order(image);
                result = _backend.CreateTensor(rows.Length, _hidden);
                _backend.Gather(result, all, rows);
                all.Dispose();
            }

            trace.AddTensor(ordered ? "image_features" : "merged", result);
            timer.End(Stage.Projector);
            return result;
        }
        catch
        {
            all.Dispose();
            result.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Vision.Dispose();
        Spatial?.Dispose();
        Projector.Dispose();
        _newlineWeights.Dispose();
    }

    private int[] Order(PreparedImage image) =>
        FeatureOrder.Rows(image.Geometry, _merge, _grid, Spatial?.TokensPerTile ?? 0, Vision.TokensPerTile);

    private static void TraceInput(PreparedImage image, ITraceSink? trace)
    {
        if (trace is null) return;
        long size = image.Pixels.Size;
        long[] shape = image.Geometry is null ? [3, size, size] : [image.Pixels.Tiles, 3, size, size];
        if (trace.Wants("u8")) trace.Add("u8", Array.ConvertAll(image.Pixels.Pixels.ToArray(), static value => (float)value), shape);
        if (trace.Wants("pixel_values")) trace.Add("pixel_values", image.ToPixelValues(), shape);
    }

    private void TracePatches(Tensor features, int tiles, ITraceSink? trace)
    {
        for (int tile = 0; tile < tiles && trace is not null; tile++)
        {
            trace.AddTensor(
                TraceNames.Tile(tiles, tile, "vision.patch_features"), features.Slice(tile * Vision.TokensPerTile, Vision.TokensPerTile));
        }
    }
}
