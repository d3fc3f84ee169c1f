using System.Text.Json;
using LlavaSp.Imaging;

namespace LlavaSp.Tests.Imaging;

public sealed class AnyresGeometryTests
{
    [Fact]
    public void AllCasesAreGolden()
    {
        using JsonDocument golden = JsonDocument.Parse(File.ReadAllBytes(Goldens.Golden("anyres_geometry.json")));
        GridPinpoints pinpoints = GridPinpoints.Parse(golden.RootElement.GetProperty("image_grid_pinpoints"), 336, "anyres_geometry.json");
        int cases = 0;
        foreach (JsonElement expected in golden.RootElement.GetProperty("cases").EnumerateArray())
        {
            IEnumerable<int> Numbers(string name) => expected.GetProperty(name).EnumerateArray().Select(number => number.GetInt32()).ToArray();
            int Number(string name) => expected.GetProperty(name).GetInt32();

            int[] size = [.. Numbers("size")];
            AnyresGeometry actual = AnyresGeometry.Compute(size[0], size[1], pinpoints);
            UnpadWindow window = actual.Unpad(24);
            Assert.Equal(Numbers("best_resolution"), [actual.GridWidth * 336, actual.GridHeight * 336]);
            Assert.Equal(Numbers("grid_width_height"), [actual.GridWidth, actual.GridHeight]);
            Assert.Equal(
                Numbers("pasted_box_xyxy"),
                [actual.PastedLeft, actual.PastedTop, actual.PastedLeft + actual.PastedWidth, actual.PastedTop + actual.PastedHeight]);
            Assert.Equal(Numbers("unpad_first_row_col"), [window.FirstRow, window.FirstColumn]);
            Assert.Equal(Numbers("unpad_rows_cols"), [window.Rows, window.Columns]);
            Assert.Equal(Number("merged_length_flat"), actual.MergedLength(PatchMergeType.Flat, 24, 6));
            Assert.Equal(Number("merged_length_spatial"), actual.MergedLength(PatchMergeType.Spatial, 24, 6));
            Assert.Equal(Number("merged_length_spatial_unpad"), actual.MergedLength(PatchMergeType.SpatialUnpad, 24, 6));
            cases++;
        }
        Assert.Equal(26, cases);
    }

    [Fact]
    public void WithoutSpatialTokensLengthsAreThoseOfLlava16()
    {
        var pinpoints = new GridPinpoints([(672, 672)], 336, "config.json");
        AnyresGeometry geometry = AnyresGeometry.Compute(672, 672, pinpoints);
        Assert.Equal(5 * 576, geometry.MergedLength(PatchMergeType.Flat, 24, 0));
        Assert.Equal(576 + (48 * 49), geometry.MergedLength(PatchMergeType.SpatialUnpad, 24, 0));
    }

    [Fact]
    public void ExtremePicturesStayOnTheCanvas()
    {
        var pinpoints = new GridPinpoints([(336, 672), (672, 336), (672, 672)], 336, "config.json");
        foreach ((int width, int height) in ((int, int)[])[(1, 65_535), (65_535, 1), (1, 1), (65_535, 65_535), (3, 7)])
        {
            AnyresGeometry geometry = AnyresGeometry.Compute(width, height, pinpoints);
            Assert.InRange(geometry.PastedWidth, 1, geometry.GridWidth * 336);
            Assert.InRange(geometry.PastedHeight, 1, geometry.GridHeight * 336);
            UnpadWindow window = geometry.Unpad(24);
            Assert.InRange(window.Rows, 0, geometry.GridHeight * 24);
            Assert.InRange(window.Columns, 0, geometry.GridWidth * 24);
        }
    }

    [Theory]
    [InlineData("[[336, 672], [672, 336]]")]
    [InlineData("\"[(336, 672), (672, 336)]\"")]
    [InlineData("\"[[336, 672], [672, 336]]\"")]
    public void PinpointsAreReadFromListsAndStrings(string json) =>
        Assert.Equal([(336, 672), (672, 336)], Parse(json).Resolutions);

    [Theory]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("7")]
    [InlineData("null")]
    [InlineData("\"(1x1),...,(6x6)\"")]
    [InlineData("\"\"")]
    [InlineData("\"\\ud800\"")]
    [InlineData("[336, 672]")]
    [InlineData("[[336]]")]
    [InlineData("[[336, 672, 1]]")]
    [InlineData("[[336, \"672\"]]")]
    [InlineData("[[336, 672.5]]")]
    [InlineData("[[336, 1e30]]")]
    [InlineData("[[0, 336]]")]
    [InlineData("[[-336, 336]]")]
    [InlineData("[[336, 400]]")]
    [InlineData("[[336, 21840]]")]
    [InlineData("[[2147483568, 2147483568]]")]
    public void HostilePinpointsAreRefused(string json)
    {
        var e = Assert.Throws<CheckpointException>(() => Parse(json));
        Assert.Contains("config.json", e.Message, StringComparison.Ordinal);
        Assert.Contains("image_grid_pinpoints", e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', e.Message);
    }

    [Fact]
    public void TooManyPinpointsAreRefused() =>
        Assert.Throws<CheckpointException>(() => Parse("[" + string.Join(',', Enumerable.Repeat("[336,336]", 5000)) + "]"));

    private static GridPinpoints Parse(string json)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        return GridPinpoints.Parse(document.RootElement, 336, "config.json");
    }
}
