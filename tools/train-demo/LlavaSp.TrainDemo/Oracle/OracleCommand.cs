using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Generation;
using LlavaSp.Imaging;
using LlavaSp.Quantization;
using LlavaSp.Text;
using LlavaSp.TrainDemo.Files;
using LlavaSp.TrainDemo.Model;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace LlavaSp.TrainDemo.Oracle;

/// <summary><c>train-demo oracle</c>: the engine's stages beside those of the TorchSharp model, on the same checkpoint.</summary>
internal static class OracleCommand
{
    /// <summary>Largest difference, relative to the largest value of a stage, of two sides that compute in float32.</summary>
    private const double Tolerance = 2e-4;

    public static Command Create()
    {
        var model = new Option<string?>("--model") { Description = "Folder of a checkpoint, merged or LoRA", HelpName = "DIR" };
        var fullSize = new Option<string?>("--full-size")
        {
            Description = "Instead of a checkpoint: one layer of each stage at the sizes of the published 7B models, random weights",
            HelpName = "pooling|cropping",
        };
        fullSize.AcceptOnlyFromAmong("pooling", "cropping");
        var image = new Option<string>("--image") { Description = "A picture", HelpName = "FILE", Required = true };
        var prompt = new Option<string?>("--prompt") { Description = "A question, for a checkpoint", HelpName = "TEXT" };
        var device = new Option<string>("--device") { Description = "The engine's device", HelpName = "NAME", DefaultValueFactory = static _ => "cpu" };
        var weights = new Option<string>("--weights")
        {
            Description = "The engine's weights; others than f32 show what they cost, and fail",
            HelpName = "FORMAT",
            DefaultValueFactory = static _ => "f32",
        };
        var command = new Command("oracle", "Compare the engine with TorchSharp, stage by stage") { model, fullSize, image, prompt, device, weights };
        command.SetAction(parsed =>
        {
            string? folder = parsed.GetValue(model), variant = parsed.GetValue(fullSize), question = parsed.GetValue(prompt);
            if (folder is null == variant is null) throw new LlavaSpException("give either --model or --full-size");
            if (folder is null != question is null) throw new LlavaSpException("--prompt belongs to --model: give both or neither");
            var options = new LoadOptions
            {
                Device = new DeviceOptions(parsed.GetValue(device)!),
                Weights = WeightFormat.Parse(parsed.GetValue(weights)!),
                KvFormat = KvFormat.F32,
            };
            RgbImage picture = ImageDecoder.Decode(parsed.GetValue(image)!);
            bool same = folder is not null
                ? OfCheckpoint(folder, picture, question!, options)
                : OfFullSize(variant == "cropping" ? SpatialMode.Cropping : SpatialMode.Pooling, picture, options);
            return same ? 0 : 1;
        });
        return command;
    }

    private static bool OfCheckpoint(string folder, RgbImage picture, string question, LoadOptions options)
    {
        using ModelCheckpoint checkpoint = ModelCheckpoint.Open(new ModelLocation(folder));
        using LlavaSpModel engine = LlavaSpModel.Load(folder, options);
        return Traced(engine, engine.Prepare(picture), engine.Encode($"USER: <image>\n{question} ASSISTANT:"), () => StoredWeights.Read(checkpoint));
    }

    // Two layers of the vision tower, of which one runs; one of the decoder; all convolutions.
    private static bool OfFullSize(SpatialMode variant, RgbImage picture, LoadOptions options)
    {
        using ModelCheckpoint checkpoint = SyntheticModel.Create("llava-sp-7b", variant, decoderLayers: 1, visionLayers: 2);
        using LlavaSpModel engine = LlavaSpModel.Load(checkpoint, null, options, Stopwatch.GetTimestamp());
        return Traced(engine, engine.Prepare(picture), [1, 319, 13563, ImageToken.Id, 29871, 13, 5618, 338], () => StoredWeights.ReadSynthetic(checkpoint));
    }

    private static bool Traced(LlavaSpModel engine, PreparedImage prepared, int[] ids, Func<NamedWeights> read)
    {
        using IDisposable inference = inference_mode();
        using DisposeScope scope = NewDisposeScope();
        if (prepared.Geometry is not null) throw new LlavaSpException($"{engine.Checkpoint.Location.Model}: cuts pictures into tiles, which the oracle does not compute");
        string file = Path.GetTempFileName();
        try
        {
            var traced = new TraceFile();
            ModelTracer.Run(engine, ids, [prepared], 0, traced);
            traced.Save(file);
            using SafetensorsFile trace = SafetensorsFile.Open(file);
            return Compare(engine, read(), prepared, ids, trace);
        }
        finally
        {
            File.Delete(file);
        }
    }

    private static bool Compare(LlavaSpModel engine, NamedWeights weights, PreparedImage prepared, int[] ids, SafetensorsFile trace)
    {
        ModelCheckpoint sizes = engine.Checkpoint;
        var net = new LlavaSpNet(weights, sizes.Vision, sizes.Spatial);
        int side = sizes.Vision.ImageSize;
        int layers = sizes.Multimodal.SelectLayer < 0 ? sizes.Vision.Layers + 1 + sizes.Multimodal.SelectLayer : sizes.Multimodal.SelectLayer;
        Tensor features = VisionTower.Forward(weights, sizes.Vision, layers, tensor(prepared.ToPixelValues(), [1, 3, side, side]));
        bool same = Same("a.vision.patch_features", features[0]);
        if (sizes.Spatial.Mode is not null)
            same &= Same("a.sp.tokens", SpatialTokens.Forward(weights, sizes.Spatial, sizes.Vision, features)[0]);
        Tensor images = net.ImageTokens(features);
        same &= Same("a.image_features", images[0]);
        Tensor embeddings = net.Splice(ids, images);
        same &= Same("inputs_embeds", embeddings[0]);
        long length = embeddings.shape[1];
        Tensor hidden = Decoder.Forward(weights, sizes.Decoder, embeddings, arange(length, int64).unsqueeze(0), null);
        same &= Same("logits", Decoder.Logits(weights, hidden)[0]);
        return SameTwice() && same;

        // As training packs questions: what is behind the picture twice, one behind the other. Neither sees the other, and both end as the engine does.
        bool SameTwice()
        {
            long prefix = Array.IndexOf(ids, ImageToken.Id) + images.shape[1], behind = length - prefix;
            Tensor segments = cat([zeros([1, behind], int64), ones([1, behind], int64)], 1), places = arange(length, int64);
            var packing = Packing.Of(prefix, segments, tensor(new[] { length - 1, length + behind - 1 }, [1, 2]));
            Tensor packed = Decoder.Forward(
                weights, sizes.Decoder, cat([embeddings, embeddings.narrow(1, prefix, behind)], 1), cat([places, places.narrow(0, prefix, behind)], 0).unsqueeze(0), packing);
            return Agree("packed", StoredWeights.Read(trace, "logits").narrow(0, length - 1, 1).expand(2, -1), Decoder.Logits(weights, packed)[0]);
        }

        bool Same(string name, Tensor expected) => Agree(name, StoredWeights.Read(trace, name), expected);

        // Also false where either has a NaN or the shapes differ.
        static bool Agree(string name, Tensor actual, Tensor expected)
        {
            bool shapes = actual.shape.AsSpan().SequenceEqual(expected.shape);
            double error = shapes ? ((actual - expected).abs().max() / expected.abs().max()).item<float>() : double.NaN;
            bool good = error <= Tolerance;
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{(good ? "ok" : "not ok")} {name} [{string.Join(", ", actual.shape)}]: {error:e1}"));
            return good;
        }
    }
}
