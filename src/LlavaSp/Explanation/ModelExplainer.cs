using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Generation;
using LlavaSp.Graph;
using LlavaSp.Imaging;

namespace LlavaSp.Explanation;

/// <summary>Answers a question, and says what the answer came from.</summary>
public static class ModelExplainer
{
    /// <summary>Answers, then runs prompt and answer once more as one sequence and keeps what the answer's positions attend to.</summary>
    /// <param name="model">The model.</param>
    /// <param name="request">The question.</param>
    /// <param name="cancellationToken">Stops between two tokens or layers.</param>
    /// <exception cref="PromptException">The prompt does not fit its pictures or the context.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static AnswerExplanation Run(LlavaSpModel model, GenerationRequest request, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(request);
        PromptSequence prompt = model.Sequence(request);
        int length = (int)Math.Min(model.Checkpoint.Decoder.ContextLength, (long)prompt.Length + request.MaxNewTokens);
        using LlavaSpSession session = model.CreateSession(length);
        GenerationResult answer = session.Generate(request, cancellationToken: cancellationToken);
        // The last token was predicted, but nothing was predicted from it.
        PromptSequence whole = model.Sequence(request with { PromptIds = [.. request.PromptIds, .. answer.Ids.SkipLast(1)] });
        var attention = new AttentionTracer(model.Checkpoint.Decoder, whole.Length, answer.Ids.Count, () => session.Runner.RopeTable);
        var fusions = new Dictionary<string, FusionTrace>();
        model.Exclusively(() =>
        {
            session.Runner.Reset();
            session.Runner.Prefill(whole, new StageTimes(), attention, prefix => fusions[prefix] = new FusionTrace(), cancellationToken);
        }, cancellationToken);

        var pictures = whole.Segments.Where(segment => segment.Picture >= 0)
            .Select(segment => Describe(model, request.Images[segment.Picture], segment, fusions)).ToList();
        return new AnswerExplanation(answer, Words(answer), pictures, attention.Map);
    }

    // A token that begins with a space, or the first, begins a word; what has no text belongs to no word.
    private static List<AnswerWord> Words(GenerationResult answer)
    {
        var words = new List<AnswerWord>();
        bool begun = false;
        for (int i = 0; i < answer.Tokens.Count; i++)
        {
            string text = answer.Tokens[i].Text;
            if (text.Length == 0) continue;
            bool begins = !begun || char.IsWhiteSpace(text[0]);
            if (begins) words.Add(new AnswerWord(text.Trim(), i, 1));
            else words[^1] = words[^1] with { Text = words[^1].Text + text.TrimEnd(), Count = i - words[^1].First + 1 };
            begun = !char.IsWhiteSpace(text[^1]);
        }

        return [.. words.Where(word => word.Text.Length > 0)];
    }

    private static PictureExplanation Describe(LlavaSpModel model, PreparedImage image, PromptSegment segment, Dictionary<string, FusionTrace> fusions)
    {
        ModelCheckpoint checkpoint = model.Checkpoint;
        SpatialConfig spatial = checkpoint.Spatial;
        int tiles = image.Pixels.Tiles, grid = checkpoint.Vision.Grid, patch = checkpoint.Vision.PatchSize;
        TileView[] views = [.. Enumerable.Range(0, tiles).Select(tile => model.ViewOf(image, tile))];
        int perTile = model.Encoder.Vision.TokensPerTile, firstPatch = tiles * spatial.Tokens, classTokens = perTile - (grid * grid);
        int[] order = FeatureOrder.Rows(image.Geometry, checkpoint.Multimodal.PatchMergeType, grid, spatial.Tokens, perTile);
        return new PictureExplanation(
            image.OriginalWidth, image.OriginalHeight, segment.Start, [.. order.Select(PositionOf)],
            [.. Enumerable.Range(0, firstPatch).Select(TokenOf)],
            spatial.Mode != SpatialMode.Cropping ? [] : [.. Enumerable.Range(0, tiles).Select(FusionOf)]);

        PicturePosition PositionOf(int row)
        {
            if (row < firstPatch) return new PicturePosition(row, null);
            int tile = (row - firstPatch) / perTile, cell = ((row - firstPatch) % perTile) - classTokens;
            return new PicturePosition(-1, tile >= tiles || cell < 0 ? null : Cells(views[tile], cell % grid, cell / grid, 1));
        }

        SpatialTokenView TokenOf(int row)
        {
            int tile = row / spatial.Tokens, k = spatial.KernelSizes[row % spatial.Tokens];
            bool crops = spatial.Mode == SpatialMode.Cropping;
            int first = crops ? (grid - k) / 2 : 0;
            return new SpatialTokenView(tile, k, spatial.Mode!.Value, Cells(views[tile], first, first, crops ? k : grid));
        }

        DetailFusionView FusionOf(int tile)
        {
            int side = ((grid - spatial.FusionKernelSize) / SpatialConfig.FusionStride) + 1;
            float[] shares = fusions[$"{(char)('a' + segment.Picture)}."].Shares[TraceNames.Tile(tiles, tile, FusionTrace.Name)];
            return new DetailFusionView(tile, [.. Enumerable.Range(0, side * side).Select(position => Cells(
                views[tile], position % side * SpatialConfig.FusionStride, position / side * SpatialConfig.FusionStride, spatial.FusionKernelSize))], shares);
        }

        PictureRegion Cells(TileView view, int column, int row, int side) =>
            view.Region(column * patch, row * patch, (column + side) * patch, (row + side) * patch);
    }

    // Keeps the fusion's attention of every tile of a picture.
    private sealed class FusionTrace : ITraceSink
    {
        public const string Name = "sp.attn_probs";

        public Dictionary<string, float[]> Shares { get; } = [];

        public bool Wants(string name) => name.EndsWith(Name, StringComparison.Ordinal);

        public void Add(string name, ReadOnlySpan<float> values, params ReadOnlySpan<long> shape) => Shares[name] = values.ToArray();
    }
}
