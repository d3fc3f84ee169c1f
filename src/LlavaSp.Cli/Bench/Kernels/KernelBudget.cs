using System.Text.Json;

namespace LlavaSp.Cli.Bench.Kernels;

/// <summary>What nvcc needed for every kernel (kernels/budget.json, a resource of the tool).</summary>
internal sealed class KernelBudget
{
    private const string Resource = "kernels/budget.json";

    private readonly Dictionary<(string Kernel, string Architecture), int> _registers = [];

    private KernelBudget(string compiler) => Compiler = compiler;

    /// <summary>The compiler that the figures are of.</summary>
    public string Compiler { get; }

    /// <summary>Reads the resource.</summary>
    public static KernelBudget Load()
    {
        using Stream stream = typeof(KernelBudget).Assembly.GetManifestResourceStream(Resource)
            ?? throw new InvalidOperationException($"{Resource} is not part of the tool");
        using JsonDocument document = JsonDocument.Parse(stream);
        var budget = new KernelBudget(document.RootElement.GetProperty("compiler").GetString()!);
        foreach (JsonProperty kernel in document.RootElement.GetProperty("kernels").EnumerateObject())
        {
            foreach (JsonProperty architecture in kernel.Value.EnumerateObject())
                budget._registers.Add((kernel.Name, architecture.Name), architecture.Value.GetProperty("registers").GetInt32());
        }

        return budget;
    }

    /// <summary>Registers of a thread; null for a kernel that nvcc has not seen yet.</summary>
    public int? Registers(string kernel, string architecture) => _registers.TryGetValue((kernel, architecture), out int registers) ? registers : null;
}
