using LlavaSp.Backends;
using LlavaSp.Checkpoints;

namespace LlavaSp.Tests.Checkpoints;

/// <summary>The layouts in which checkpoints are published all load to the same model.</summary>
public sealed class PublishedLayoutTests
{
    [Theory]
    [InlineData("pooling-f32", false)]
    [InlineData("pooling-f32", true)]
    [InlineData("pooling-gqa-sharded-f32-anyres", false)]
    [InlineData("pooling-gqa-sharded-f32-anyres", true)]
    public void TransformersLayoutsGiveTheSameModel(string golden, bool newNames)
    {
        using var folder = new TemporaryFolder();
        string upstream = CheckpointBuilder.FromGolden(golden).WithoutSpatialTokens().Write(folder["upstream"]);
        string transformers = CheckpointBuilder.FromGolden(golden).WithoutSpatialTokens().WithTransformersConfig()
            .Rename(newNames ? CheckpointBuilder.NewTransformersName : CheckpointBuilder.OldTransformersName).Write(folder["transformers"]);
        ReferenceTrace.AssertEqual(ReferenceTrace.Of(upstream, visionTower: CheckpointBuilder.ClipFolder), ReferenceTrace.Of(transformers));
    }

    [Theory]
    [InlineData("cropping-f32")]
    [InlineData("pooling-bf16")]
    public void AVisionTowerBesideTheCheckpointIsAsGoodAsOneInside(string golden)
    {
        using var folder = new TemporaryFolder();
        string inside = CheckpointBuilder.FromGolden(golden).Write(folder["inside"]);
        string beside = CheckpointBuilder.FromGolden(golden).Rename(name => NameMap.IsVision(NameMap.Canonical(name)) ? null : name).Write(folder["beside"]);
        Dictionary<string, byte[]> expected = ReferenceTrace.Of(inside, visionTower: CheckpointBuilder.ClipFolder);
        ReferenceTrace.AssertEqual(expected, ReferenceTrace.Of(beside, visionTower: CheckpointBuilder.ClipFolder));

        // Found by the name in config.json, as upstream's downloads lie.
        string copy = folder["openai/clip-vit-tiny-patch14-336"];
        Directory.CreateDirectory(copy);
        foreach (string file in Directory.GetFiles(CheckpointBuilder.ClipFolder)) File.Copy(file, Path.Combine(copy, Path.GetFileName(file)));
        ReferenceTrace.AssertEqual(expected, ReferenceTrace.Of(beside));
    }

    [Fact]
    public void TiedEmbeddingsNeedNoOutputMatrix()
    {
        using var folder = new TemporaryFolder();
        CheckpointBuilder untied = CheckpointBuilder.FromGolden("cropping-f32");
        untied.Tensors["lm_head.weight"] = (untied.Tensors["lm_head.weight"].Info, untied.Tensors["model.embed_tokens.weight"].Bytes);
        CheckpointBuilder tied = CheckpointBuilder.FromGolden("cropping-f32").Rename(name => name == "lm_head.weight" ? null : name);
        tied.Config["tie_word_embeddings"] = true;
        ReferenceTrace.AssertEqual(
            ReferenceTrace.Of(untied.Write(folder["untied"]), visionTower: CheckpointBuilder.ClipFolder),
            ReferenceTrace.Of(tied.Write(folder["tied"]), visionTower: CheckpointBuilder.ClipFolder));
    }

    [Fact]
    public void EveryCanonicalNameSurvivesItsPublishedForm()
    {
        foreach (SpatialMode? variant in (SpatialMode?[])[null, SpatialMode.Pooling, SpatialMode.Cropping])
        {
            using ModelCheckpoint checkpoint = SyntheticModel.Create("tiny", variant);
            string[] names = [.. ModelLayout.Of(checkpoint).Select(tensor => tensor.Name), "conv_CM.weight_scale", "something.else"];
            Assert.Contains("image_newline", names);
            foreach (string name in names) Assert.Equal(name, NameMap.Canonical(NameMap.Published(name)));
            Assert.Equal(names.Length, names.Select(NameMap.Published).Distinct().Count());
        }
    }

    [Theory]
    [InlineData("pooling-f32")]
    [InlineData("cropping-gqa-f16-anyres")]
    public void PublishedNamesAreThoseOfUpstream(string golden)
    {
        foreach (string name in CheckpointBuilder.FromGolden(golden).Tensors.Keys) Assert.Equal(name, NameMap.Published(NameMap.Canonical(name)));
    }

    [Theory]
    [InlineData("pooling-f32")]
    [InlineData("cropping-f32")]
    [InlineData("cropping-lora")]
    [InlineData("pooling-gqa-sharded-f32-anyres")]
    public void TheLayoutNamesEveryTensor(string golden)
    {
        using ModelCheckpoint checkpoint = ModelCheckpoint.Open(new ModelLocation(Goldens.Checkpoint(golden)));
        Dictionary<string, LayoutTensor> layout = ModelLayout.Of(checkpoint).ToDictionary(tensor => tensor.Name);
        foreach (CatalogEntry entry in checkpoint.Catalog.Entries.Values)
        {
            Assert.True(layout.TryGetValue(entry.Name, out LayoutTensor? tensor), entry.Name);
            Assert.Equal(tensor.Shape, entry.Info.Shape);
        }

        foreach (LayoutTensor tensor in layout.Values.Where(tensor => tensor.Need == TensorNeed.Required)) Assert.True(checkpoint.Catalog.Has(tensor.Name), tensor.Name);
    }
}
