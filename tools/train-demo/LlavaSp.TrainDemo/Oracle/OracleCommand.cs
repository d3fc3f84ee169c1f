using System.CommandLine;
using System.Globalization;
using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Generation;
using LlavaSp.Imaging;
using LlavaSp.Quantization;
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
        var model = new Option<string>("--model") { Description = "Folder of a merged checkpoint", HelpName = "DIR", Required = true };
        var image = new Option<string>("--image") { Description = "A picture", HelpName = "FILE", Required = true };
        var prompt = new Option<string>("--prompt") { Description = "A question", HelpName = "TEXT", Required = true };
        var device = new Option<string>("--device") { Description = "The engine's device", HelpName = "NAME", DefaultValueFactory = static _ => "cpu" };
        var weights = new Option<string>("--weights")
        {
            Description = "The engine's weights; others than f32 show what they cost, and fail",
            HelpName = "FORMAT",
            DefaultValueFactory = static _ => "f32",
        };
        var command = new Command("oracle", "Compare the engine with TorchSharp, stage by stage") { model, image, prompt, device, weights };
        command.SetAction(parsed => Run(
            parsed.GetValue(model)!, parsed.GetValue(image)!, parsed.GetValue(prompt)!, parsed.GetValue(device)!, WeightFormat.Parse(parsed.GetValue(weights)!)));
        return command;
    }

    private static int Run(string folder, string picture, string question, string device, WeightFormat format)
    {
        using IDisposable inference = inference_mode();
        using DisposeScope scope = NewDisposeScope();
        using LlavaSpModel engine = LlavaSpModel.Load(
            folder, new LoadOptions { Device = new DeviceOptions(device), Weights = format, KvFormat = KvFormat.F32 });
        PreparedImage prepared = engine.Prepare(ImageDecoder.Decode(picture));
        if (prepared.Geometry is not null) throw new LlavaSpException($"{folder}: cuts pictures into tiles, which the oracle does not compute");
        int[] ids = engine.Encode($"USER: <image>\n{question} ASSISTANT:");

        string file = Path.GetTempFileName();
        try
        {
            var traced = new TraceFile();
            ModelTracer.Run(engine, ids, [prepared], 0, traced);
            traced.Save(file);
            using SafetensorsFile trace = SafetensorsFile.Open(file);
            return Compare(engine, folder, prepared, ids, trace) ? 0 : 1;
        }
        finally
        {
            File.Delete(file);
        }
    }

    private static bool Compare(LlavaSpModel engine, string folder, PreparedImage prepared, int[] ids, SafetensorsFile trace)
    {
        NamedWeights weights = StoredWeights.Read(folder);
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
        Tensor hidden = Decoder.Forward(weights, sizes.Decoder, embeddings, arange(embeddings.shape[1], int64).unsqueeze(0), null);
        return Same("logits", Decoder.Logits(weights, hidden)[0]) && same;

        // Also false where either has a NaN or the shapes differ.
        bool Same(string name, Tensor expected)
        {
            Tensor actual = StoredWeights.Read(trace, name);
            bool shapes = actual.shape.AsSpan().SequenceEqual(expected.shape);
            double error = shapes ? ((actual - expected).abs().max() / expected.abs().max()).item<float>() : double.NaN;
            bool good = error <= Tolerance;
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{(good ? "ok" : "not ok")} {name} [{string.Join(", ", actual.shape)}]: {error:e1}"));
            return good;
        }
    }
}
