using System.Text.Json;

namespace LlavaSp.Imaging;

/// <summary>What <c>preprocessor_config.json</c> says, as CLIPImageProcessor of transformers 4.37 understands it.</summary>
/// <param name="ShortestEdge">Length to which the shorter edge is resized.</param>
/// <param name="CropSize">Edge of the square cut from the middle.</param>
/// <param name="Mean">Mean of each channel, in units of rescaled values.</param>
/// <param name="Std">Standard deviation of each channel.</param>
public sealed record PreprocessorConfig(int ShortestEdge, int CropSize, IReadOnlyList<double> Mean, IReadOnlyList<double> Std)
{
    /// <summary>Largest edge of a tile in pixels.</summary>
    public const int MaxSize = 1024;

    // transformers.image_utils.OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
    private static readonly double[] ClipMean = [0.48145466, 0.4578275, 0.40821073];
    private static readonly double[] ClipStd = [0.26862954, 0.26130258, 0.27577711];

    /// <summary>Whether the picture is resized.</summary>
    public bool DoResize { get; init; } = true;

    /// <summary>Whether the middle is cut out (or the picture padded with zeros up to the crop size).</summary>
    public bool DoCenterCrop { get; init; } = true;

    /// <summary>Whether values are multiplied by <see cref="RescaleFactor"/>.</summary>
    public bool DoRescale { get; init; } = true;

    /// <summary>1/255.</summary>
    public double RescaleFactor { get; init; } = 1.0 / 255;

    /// <summary>Whether mean and standard deviation are applied.</summary>
    public bool DoNormalize { get; init; } = true;

    /// <summary>Edge in pixels of the tiles that come out.</summary>
    public int TileSize => DoCenterCrop ? CropSize : ShortestEdge;

    /// <summary>CLIP's processor for a vision tower of size x size pixels.</summary>
    /// <exception cref="CheckpointException">The size is not 1 to 1024.</exception>
    public static PreprocessorConfig ClipDefault(int size) => size is >= 1 and <= MaxSize
        ? new(size, size, ClipMean, ClipStd)
        : throw new CheckpointException($"an image size of {size} is not supported (1 to {MaxSize} pixels); check the vision tower's config");

    /// <summary>Parses preprocessor_config.json. What it does not say is as transformers has it (CLIP, 224 pixels).</summary>
    /// <param name="json">UTF-8.</param>
    /// <param name="fileName">For messages.</param>
    /// <exception cref="CheckpointException">Not JSON, or a value that is wrong or not supported.</exception>
    public static PreprocessorConfig Parse(ReadOnlySpan<byte> json, string fileName)
    {
        try
        {
            var reader = new Utf8JsonReader(json, new JsonReaderOptions { AllowTrailingCommas = true });
            using JsonDocument document = JsonDocument.ParseValue(ref reader);
            return new Parser(document.RootElement, fileName).Parse();
        }
        // InvalidOperationException: a string that is not UTF-8
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new CheckpointException($"{fileName}: this is not valid JSON ({e.Message.ReplaceLineEndings(" ")}); use an intact file", e);
        }
    }

    private sealed class Parser(JsonElement root, string fileName)
    {
        public PreprocessorConfig Parse()
        {
            if (root.ValueKind != JsonValueKind.Object)
                throw new CheckpointException($"{fileName}: this is not a JSON object; use an intact file");
            if (Find("resample", out JsonElement resample) && !(resample.ValueKind == JsonValueKind.Number && resample.TryGetInt32(out int filter) && filter == 3))
                throw Wrong("resample", "only 3 (bicubic) is supported");
            int crop = 224;
            if (Find("crop_size", out JsonElement cropSize))
            {
                crop = Size("crop_size", cropSize, "height");
                if (cropSize.ValueKind == JsonValueKind.Object && Size("crop_size", cropSize, "width") != crop)
                    throw Wrong("crop_size", "height and width must be equal");
            }
            return new PreprocessorConfig(
                Find("size", out JsonElement size) ? Size("size", size, "shortest_edge") : 224, crop,
                Channels("image_mean", ClipMean), Channels("image_std", ClipStd, positive: true))
            {
                DoResize = Flag("do_resize"),
                DoCenterCrop = Flag("do_center_crop"),
                DoRescale = Flag("do_rescale"),
                RescaleFactor = Find("rescale_factor", out JsonElement factor) ? Number("rescale_factor", factor, positive: true) : 1.0 / 255,
                DoNormalize = Flag("do_normalize"),
            };
        }

        private bool Find(string name, out JsonElement value) => root.TryGetProperty(name, out value) && value.ValueKind != JsonValueKind.Null;

        private bool Flag(string name)
        {
            if (!Find(name, out JsonElement value))
                return true;
            return value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetBoolean() : throw Wrong(name, "true or false is expected");
        }

        private int Size(string name, JsonElement value, string member)
        {
            if (value.ValueKind == JsonValueKind.Object && !value.TryGetProperty(member, out value))
                throw Wrong(name, $"a number or an object with {member} is expected");
            if (value.ValueKind != JsonValueKind.Number || !value.TryGetInt32(out int size) || size is < 1 or > MaxSize)
                throw Wrong(name, $"a whole number from 1 to {MaxSize} is expected");
            return size;
        }

        private double[] Channels(string name, double[] standard, bool positive = false)
        {
            if (!Find(name, out JsonElement value))
                return standard;
            if (value.ValueKind != JsonValueKind.Array || value.GetArrayLength() != 3)
                throw Wrong(name, "a list of three numbers is expected");
            return [.. value.EnumerateArray().Select(channel => Number(name, channel, positive))];
        }

        // In the range of normal float32 numbers, so that no pixel can become infinite or NaN.
        private double Number(string name, JsonElement value, bool positive)
        {
            if (value.ValueKind != JsonValueKind.Number || !value.TryGetDouble(out double number) || !(Math.Abs(number) <= 1e6) || (positive && number < 1e-6))
                throw Wrong(name, positive ? "positive numbers up to a million are expected" : "numbers up to a million are expected");
            return number;
        }

        private CheckpointException Wrong(string name, string what) => new($"{fileName}: {name}: {what}; correct it");
    }
}
