using LlavaSp.Quantization;

namespace LlavaSp.Checkpoints;

/// <summary>Sum over the tensors of one stage.</summary>
/// <param name="Stage">vision tower, spatial tokens, projector, embedding, decoder or other.</param>
/// <param name="Tensors">Number of tensors.</param>
/// <param name="Parameters">Elements; two for each byte of a 4-bit matrix, none for group scales.</param>
/// <param name="Bytes">Bytes as stored.</param>
public sealed record StageSummary(string Stage, int Tensors, long Parameters, long Bytes);

/// <summary>One tensor of a checkpoint.</summary>
/// <param name="Name">Canonical name.</param>
/// <param name="Stored">Name, type and shape in the file.</param>
/// <param name="Stage">Stage that it belongs to.</param>
/// <param name="File">File, or folder where it is not known.</param>
/// <param name="Used">Whether the graph reads it.</param>
public sealed record InspectedTensor(string Name, TensorInfo Stored, string Stage, string File, bool Used);

/// <summary>A tensor that the graph needs and the checkpoint does not have.</summary>
/// <param name="Name">Canonical name.</param>
/// <param name="Shape">Shape that the config asks for.</param>
public sealed record MissingTensor(string Name, string Shape);

/// <summary>What a checkpoint is, what it holds, and everything that is wrong with it; no weight is loaded.</summary>
public sealed class CheckpointInspection
{
    private static readonly string[] StageOrder = ["vision tower", "spatial tokens", "projector", "embedding", "decoder", "other"];

    private CheckpointInspection(ModelCheckpoint checkpoint, List<string> problems)
    {
        Checkpoint = checkpoint;
        TensorCatalog catalog = checkpoint.Catalog;
        var missing = new List<MissingTensor>();
        Collect(problems, () =>
        {
            foreach (LayoutTensor tensor in ModelLayout.Of(checkpoint))
            {
                if (tensor.Need == TensorNeed.Unread) continue;
                if (catalog.Has(tensor.Name)) Collect(problems, () => Request(catalog, tensor));
                else if (tensor.Need == TensorNeed.Required || IsPartOfBias(catalog, tensor.Name)) missing.Add(new MissingTensor(tensor.Name, TensorShape.Text(tensor.Shape)));
            }
        });

        Missing = missing;
        Problems = problems;
        HashSet<string> unused = [.. catalog.Unused];
        Tensors =
        [
            .. catalog.Entries.Values.Select(entry => new InspectedTensor(
                entry.Name, entry.Info, NameMap.Stage(entry.Name), entry.File, !unused.Contains(entry.Name))),
        ];
        Stages =
        [
            .. Tensors.GroupBy(tensor => tensor.Stage).OrderBy(group => Array.IndexOf(StageOrder, group.Key)).Select(group => new StageSummary(
                group.Key, group.Count(), group.Sum(Parameters), group.Sum(tensor => tensor.Stored.ByteLength))),
        ];
        LoraTargets = [.. catalog.LoraTargets.Order(StringComparer.Ordinal)];
    }

    /// <summary>Configs, folders, variant, notes; its files are closed.</summary>
    public ModelCheckpoint Checkpoint { get; }

    /// <summary>Sums per stage, in the order of the graph.</summary>
    public IReadOnlyList<StageSummary> Stages { get; }

    /// <summary>Every tensor, by canonical name.</summary>
    public IReadOnlyList<InspectedTensor> Tensors { get; }

    /// <summary>Everything that the graph needs and that is not there.</summary>
    public IReadOnlyList<MissingTensor> Missing { get; }

    /// <summary>Everything that is there and does not fit: shapes, types, a variant that is not one. One line each.</summary>
    public IReadOnlyList<string> Problems { get; }

    /// <summary>Matrices that a LoRA adapter updates.</summary>
    public IReadOnlyList<string> LoraTargets { get; }

    /// <summary>Whether the model can be loaded.</summary>
    public bool IsComplete => Missing.Count == 0 && Problems.Count == 0;

    /// <summary>Inspects a checkpoint as its authors publish it.</summary>
    /// <exception cref="CheckpointException">It cannot even be opened: a file is missing or damaged, a config field is impossible.</exception>
    public static CheckpointInspection Open(ModelLocation location)
    {
        var problems = new List<string>();
        using ModelCheckpoint checkpoint = ModelCheckpoint.OpenIncomplete(location, problems);
        return new CheckpointInspection(checkpoint, problems);
    }

    /// <summary>Asks as the graph does, so that types and shapes are checked by the same rules.</summary>
    private static void Request(TensorCatalog catalog, LayoutTensor tensor)
    {
        if (tensor.Role == TensorRole.Vector) catalog.Vector(tensor.Name, tensor.Rows * tensor.Columns);
        else if (tensor.Role == TensorRole.Kernel) catalog.Kernel(tensor.Name, tensor.Rows, (int)tensor.Shape[2], (int)tensor.Shape[1]);
        else catalog.Matrix(tensor.Name, tensor.Rows, tensor.Columns);
    }

    /// <summary>Query, key and value run as one product: where the query has a bias, the others must have one.</summary>
    private static bool IsPartOfBias(TensorCatalog catalog, string name) =>
        (name.EndsWith(".k_proj.bias", StringComparison.Ordinal) || name.EndsWith(".v_proj.bias", StringComparison.Ordinal))
        && catalog.Has(name[..^"k_proj.bias".Length] + "q_proj.bias");

    private static void Collect(List<string> problems, Action check)
    {
        try
        {
            check();
        }
        catch (CheckpointException e)
        {
            problems.Add(e.Message);
        }
    }

    private static long Parameters(InspectedTensor tensor) => tensor.Name.EndsWith(TensorCatalog.ScaleSuffix, StringComparison.Ordinal)
        ? 0
        : tensor.Stored.Elements * (tensor.Stored.DType == DType.U8 ? 2 : 1);
}
