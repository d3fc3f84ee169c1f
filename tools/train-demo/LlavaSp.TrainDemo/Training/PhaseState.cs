using System.Globalization;
using LlavaSp.Checkpoints;
using LlavaSp.TrainDemo.Files;
using LlavaSp.TrainDemo.Model;
using TorchSharp;
using static TorchSharp.torch;

namespace LlavaSp.TrainDemo.Training;

/// <summary>
/// Where a phase stands, in a folder: weights and moments of the optimizer. What is written gets its name at the end, so that an interruption leaves the
/// state before.
/// </summary>
internal sealed class PhaseState(string folder, string phase)
{
    private const string Moments = "optimizer.", Extension = ".safetensors";

    /// <summary>Steps done, and the seconds they took; null where the phase has not begun.</summary>
    public (int Step, double Seconds)? Find()
    {
        // phase.STEP.SECONDS.safetensors
        string[] names = Directory.Exists(folder) ? [.. Directory.GetFiles(folder, $"{phase}.*{Extension}").Select(Path.GetFileName)!] : [];
        if (names.Length == 0) return null;
        return names.Select(name => name.Split('.')).Select(parts => (int.Parse(parts[1], CultureInfo.InvariantCulture), double.Parse(parts[2], CultureInfo.InvariantCulture))).Max();
    }

    /// <summary>Reads the weights, and gives back the optimizer's moments, of which there are none at the end of a phase.</summary>
    public Dictionary<string, Tensor> Load((int Step, double Seconds) at, NamedWeights weights)
    {
        var moments = new Dictionary<string, Tensor>();
        using SafetensorsFile file = SafetensorsFile.Open(PathOf(at));
        foreach (string name in file.Tensors.Keys)
        {
            Tensor tensor = StoredWeights.Read(file, name);
            if (name.StartsWith(Moments, StringComparison.Ordinal)) moments[name[Moments.Length..]] = tensor;
            else weights[name] = tensor;
        }

        return moments;
    }

    /// <summary>Writes it, and takes away what was written before.</summary>
    /// <param name="at">Steps and seconds.</param>
    /// <param name="weights">All weights.</param>
    /// <param name="optimizer">The optimizer; null at the end of the phase.</param>
    public void Save((int Step, double Seconds) at, NamedWeights weights, Adam? optimizer)
    {
        Directory.CreateDirectory(folder);
        var all = weights.All.Concat(optimizer?.Moments.Select(pair => KeyValuePair.Create(Moments + pair.Key, pair.Value)) ?? []);
        StoredWeights.Write(PathOf(at), all, DType.F32);
        foreach (string old in Directory.GetFiles(folder, $"{phase}.*{Extension}").Where(path => path != PathOf(at))) File.Delete(old);
    }

    private string PathOf((int Step, double Seconds) at) =>
        Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"{phase}.{at.Step}.{(int)at.Seconds}{Extension}"));
}
