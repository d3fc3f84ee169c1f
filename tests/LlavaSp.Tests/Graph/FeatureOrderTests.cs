using System.Text.Json;
using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Generation;
using LlavaSp.Graph;
using LlavaSp.Imaging;
using LlavaSp.Tests.Checkpoints;
using LlavaSp.Tests.Generation;

namespace LlavaSp.Tests.Graph;

/// <summary>Order of the features of several tiles.</summary>
public sealed class FeatureOrderTests
{
    [Fact]
    public void LengthsAreGoldenAndNothingStandsTwice()
    {
        using JsonDocument golden = JsonDocument.Parse(File.ReadAllBytes(Goldens.Golden("anyres_geometry.json")));
        GridPinpoints pinpoints = GridPinpoints.Parse(golden.RootElement.GetProperty("image_grid_pinpoints"), 336, "anyres_geometry.json");
        int cases = 0;
        foreach (JsonElement expected in golden.RootElement.GetProperty("cases").EnumerateArray())
        {
            int[] size = [.. expected.GetProperty("size").EnumerateArray().Select(number => number.GetInt32())];
            AnyresGeometry geometry = AnyresGeometry.Compute(size[0], size[1], pinpoints);
            foreach ((PatchMergeType merge, string name) in ((PatchMergeType, string)[])
                [(PatchMergeType.Flat, "flat"), (PatchMergeType.Spatial, "spatial"), (PatchMergeType.SpatialUnpad, "spatial_unpad")])
            {
                int[] rows = FeatureOrder.Rows(geometry, merge, 24, 6, 576);
                Assert.Equal(expected.GetProperty($"merged_length_{name}").GetInt32(), rows.Length);
                int newline = geometry.Tiles * 582;
                int[] features = [.. rows.Where(row => row != newline)];
                Assert.Equal(features.Length, features.Distinct().Count());
                Assert.All(features, row => Assert.InRange(row, 0, newline - 1));
                int newlines = rows.Length - features.Length;
                Assert.Equal(merge == PatchMergeType.SpatialUnpad ? geometry.Unpad(24).Rows : 0, newlines);
                if (merge != PatchMergeType.SpatialUnpad) Assert.Equal(newline, features.Length);
            }

            cases++;
        }

        Assert.Equal(26, cases);
    }

    [Fact]
    public void ASingleTileKeepsItsOrder() => Assert.Equal(Enumerable.Range(0, 582), FeatureOrder.Rows(null, PatchMergeType.SpatialUnpad, 24, 6, 576));

    [Theory]
    [InlineData("pooling-gqa-sharded-f32-anyres", "spatial")]
    [InlineData("pooling-gqa-sharded-f32-anyres", "flat")]
    [InlineData("cropping-gqa-f16-anyres", "spatial")]
    [InlineData("cropping-gqa-f16-anyres", "flat")]
    public void TheOtherMergeTypesAreGolden(string checkpoint, string merge)
    {
        using TemporaryFolder folder = TestModels.Edited(checkpoint, config => config["mm_patch_merge_type"] = merge);
        using LlavaSpModel model = LlavaSpModel.Load(folder.Root, TestModels.Options());
        PreparedImage image = TestModels.Image(model, 'a');
        using var timer = new StageTimer(model.Backend);
        using Tensor merged = model.Encoder.Encode(image, timer, null);
        using JsonDocument lengths = JsonDocument.Parse(File.ReadAllBytes(Goldens.Golden(checkpoint, "prompts.json")));
        Assert.Equal(lengths.RootElement.GetProperty($"anyres.a.{merge}").GetProperty("length").GetInt32(), merged.Rows);
        Assert.Equal(merged.Rows, model.Encoder.LengthOf(image));

        using SafetensorsFile golden = SafetensorsFile.Open(Goldens.Golden(checkpoint, "anyres.safetensors"));
        float[] rows = TensorComparison.Rows(merged.ToArray(), merged.Columns, TensorComparison.Ids(golden, $"a.{merge}.merged_rows"));
        Assert.InRange(TensorComparison.Difference(TensorComparison.Floats(golden, $"a.{merge}.merged"), rows), 0, 1e-4f);
    }

    [Fact]
    public void AClassTokenHasNoPlaceInAGrid()
    {
        // Spatial tokens refuse it first, so LLaVA without them is asked.
        using var folder = new TemporaryFolder();
        CheckpointBuilder builder = CheckpointBuilder.FromGolden("cropping-gqa-f16-anyres").WithoutSpatialTokens();
        builder.Config["mm_vision_select_feature"] = "cls_patch";
        string path = builder.Write(folder.Root);
        CheckpointFiles.Refuses(() => LlavaSpModel.Load(path, TestModels.Options()), "class token");
        builder.Config["mm_patch_merge_type"] = "flat";
        builder.Write(folder.Root);
        using LlavaSpModel flat = LlavaSpModel.Load(path, TestModels.Options());
        Assert.Equal(5 * 577, flat.Encoder.LengthOf(TestModels.Image(flat, 'a')));
    }
}
