using System.Globalization;
using LlavaSp.Checkpoints;

namespace LlavaSp.Cli.Output;

/// <summary>A checkpoint for people: plain lines, as wide as they are, so that they can be searched.</summary>
internal static class InspectionText
{
    public static void Write(TextWriter output, CheckpointInspection inspection, bool tensors)
    {
        ModelCheckpoint checkpoint = inspection.Checkpoint;
        WriteFolders(output, checkpoint);
        WriteSizes(output, checkpoint);
        foreach (string note in checkpoint.Notes) output.WriteLine($"note           {Refusal.OneLine(note)}");

        output.WriteLine();
        Columns.Write(
            output, ["stage", "tensors", "parameters", "bytes"],
            [
                .. inspection.Stages.Select(stage => Row(stage)),
                Row(new StageSummary(
                    "all", inspection.Stages.Sum(stage => stage.Tensors), inspection.Stages.Sum(stage => stage.Parameters), inspection.Stages.Sum(stage => stage.Bytes))),
            ],
            rightFrom: 1);
        List(output, "LoRA targets", inspection.LoraTargets);
        if (tensors) WriteTensors(output, inspection);
        List(output, "unused: no answer needs them", [.. inspection.Tensors.Where(tensor => !tensor.Used).Select(tensor => tensor.Name)]);
        List(output, "missing", [.. inspection.Missing.Select(missing => $"{missing.Name} {missing.Shape}")]);
        List(output, "problems", inspection.Problems);
    }

    private static void WriteFolders(TextWriter output, ModelCheckpoint checkpoint)
    {
        output.WriteLine($"model          {checkpoint.Location.Model}");
        if (checkpoint.Location.ModelBase is { } baseModel) output.WriteLine($"base model     {baseModel}");
        output.WriteLine($"vision tower   {checkpoint.Location.VisionTower ?? "inside the model"}");
        output.WriteLine($"tokenizer      {checkpoint.TokenizerFolder}");
        output.WriteLine($"variant        {checkpoint.Spatial.Variant}: {checkpoint.Spatial.Reason}");
        output.WriteLine($"stored as      {checkpoint.StoredFormat}");
    }

    private static void WriteSizes(TextWriter output, ModelCheckpoint checkpoint)
    {
        VisionConfig vision = checkpoint.Vision;
        DecoderConfig decoder = checkpoint.Decoder;
        MultimodalConfig multimodal = checkpoint.Multimodal;
        output.WriteLine(
            $"vision         {vision.ImageSize} px in patches of {vision.PatchSize} ({vision.Grid} x {vision.Grid}), width {vision.HiddenSize}, "
            + $"MLP {vision.IntermediateSize}, {vision.Layers} layers, {vision.Heads} heads; hidden state {multimodal.SelectLayer} is used");
        output.WriteLine(
            $"decoder        width {decoder.HiddenSize}, MLP {decoder.IntermediateSize}, {decoder.Layers} layers, {decoder.Heads} heads ({decoder.KvHeads} key-value) "
            + $"of {decoder.HeadDim}, vocabulary {decoder.VocabularySize}, context {decoder.ContextLength}");
        output.WriteLine(
            string.Create(CultureInfo.InvariantCulture, $"rotary         base {decoder.RopeTheta}, scaling {decoder.RopeScaling.ToString().ToLowerInvariant()}")
            + (decoder.RopeScaling == RopeScalingKind.None ? "" : string.Create(CultureInfo.InvariantCulture, $" by {decoder.RopeFactor}")));
        output.WriteLine(
            $"pictures       {multimodal.ImageAspectRatio}, merge {multimodal.PatchMergeType.ToString().ToLowerInvariant()}, projector {multimodal.ProjectorType}, "
            + $"{checkpoint.Spatial.Tokens} spatial tokens and {vision.Grid * vision.Grid} patches per tile");
        output.WriteLine($"end tokens     {string.Join(", ", checkpoint.EndIds)}");
    }

    private static string[] Row(StageSummary stage) =>
    [
        stage.Stage, stage.Tensors.ToString(CultureInfo.InvariantCulture), stage.Parameters.ToString("n0", CultureInfo.InvariantCulture), ByteSize.Text(stage.Bytes),
    ];

    private static void WriteTensors(TextWriter output, CheckpointInspection inspection)
    {
        output.WriteLine();
        Columns.Write(
            output, ["tensor", "type", "shape", "file"],
            [
                .. inspection.Tensors.Select(tensor => (string[])
                    [Refusal.OneLine(tensor.Name), tensor.Stored.DType.ToString(), tensor.Stored.ShapeText, Refusal.OneLine(tensor.File)]),
            ]);
    }

    private static void List(TextWriter output, string title, IReadOnlyList<string> lines)
    {
        if (lines.Count == 0) return;
        output.WriteLine();
        output.WriteLine($"{title} ({lines.Count})");
        foreach (string line in lines) output.WriteLine($"  {Refusal.OneLine(line)}");
    }
}
