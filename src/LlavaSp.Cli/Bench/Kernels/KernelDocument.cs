using System.Globalization;
using System.Text;

namespace LlavaSp.Cli.Bench.Kernels;

/// <summary>docs/kernels.md: what the emulator counted of every kernel of the 7B model.</summary>
internal static class KernelDocument
{
    /// <summary>The command that writes it.</summary>
    public const string Command = "llava-sp bench kernels --device cuda-emulator --markdown docs/kernels.md";

    /// <summary>The whole text.</summary>
    public static string Of(EmulatorReport report)
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"""
            # Kernels

            Made by `{Command}`; do not edit it by hand. No GPU took part: the emulator ran the kernels
            and counted what they move, nvcc ({report.Compiler}) said how many registers they need, and what a card could reach at best
            is **predicted, not measured**. On a machine with a GPU `llava-sp bench kernels --device cuda` measures.

            The cases are the kernels of the published 7B model: one picture or four (batch), a prompt of {KernelCases.PrefillRows} positions, a token at
            position {KernelCases.DecodeLength} of one sequence or four. How work is split depends on the number of SMs: here {report.Multiprocessors}, as on an {Card.All[0].Name}.

            ## How to read the tables
            - **kernel, shape, weights, batch**: rows by columns; of a product the rows of x, the rows of W and the columns of both. Weights of several
              `--weights` have the same format in some stages: the vision tower has 8 bits with `int8` and with `int4`.
            - **launches**: how often it is launched so, for each picture, prompt or token of a batch. A model has one weight format,
              and of its rows those without a format and those of its own.
            - **bound**: what its time cannot fall below: its bytes (memory, where that is so on all four cards), its operations (arithmetic),
              or the latency of a launch, some microseconds, where there is little to do.
            - **least MB**: weights and scales once, activations in and out once, keys and values once.
            - **moved MB**: what passes between memory and a second-level cache of {Card.SmallestCache >> 20} MB, the smallest of the cards, that is empty before each
              launch and written back after it. Of streams of more than 500 MB an eighth of the blocks ran, each with
              weights of its own, and stands for all; a dash where six blocks of a product ran that is bound by arithmetic.
            - **moved / least**: at most {KernelBars.MemoryRatio} where memory is the bound.
            - **cache MB**: what passes between the SMs and the second-level cache, in whole sectors of 32 bytes.
            - **sectors %**: useful bytes among those of the sectors that an access of a warp touches, of the worst place in the main loops (every
              place that makes a twentieth of a kernel's accesses); at least {100 * KernelBars.SectorEfficiency:f0}.
            - **conflicts**: wavefronts of shared memory beyond the least, in the main loops: bank conflicts. None is the bar.
            - **mma M**: millions of tensor core instructions of a warp, 4096 multiplications and additions each for halves, 8192 for bytes.
            - **occupancy %**: share of an SM's warps that its blocks can fill, on {Names()}; below {100 * KernelBars.Occupancy:f0} there is a reason, below.
            - **floor us**: the larger of least bytes by the card's bandwidth and operations by its tensor cores' rate, predicted, on
              {Names()}; a launch costs a few microseconds beside it.

            ## Cards
            From public data sheets; dense tensor rates, f16 with float32 sums.


            """);
        Table(
            text, ["card", "architecture", "SMs", "GB/s", "f16 TFLOP/s", "int8 TOP/s", "L2 MB", "shared KB of an SM", "warps of an SM"],
            Card.All.Select(static card => new[]
            {
                card.Name, card.Architecture, Number(card.Multiprocessors), Number(card.MemoryBytes / 1e9), Number(card.F16 / 1e12), Number(card.Int8 / 1e12),
                Number(card.CacheBytes >> 20), Number(card.SharedBytes >> 10), Number(card.Warps),
            }), 2);
        if (report.Step is { } step)
        {
            text.Append("\n## One token\n");
            text.Append(EmulatorReport.Text(step)).Append('\n');
            text.Append("Of the graph's own launches, embedding, logits and argmax included; each launch begins with an empty cache.\n");
        }

        foreach (IGrouping<string, EmulatorResult> stage in report.Stages)
        {
            text.Append(CultureInfo.InvariantCulture, $"\n## {char.ToUpperInvariant(stage.Key[0])}{stage.Key[1..]}\n");
            Table(text, [.. report.Headers], stage.Select(result => report.Cells(result).ToArray()), 3);
        }

        text.Append("\n## Occupancy below one half\n");
        Table(text, ["kernels", "why"], report.Reasons.Select(static reason => new[] { $"{reason.Family}\u2026", reason.Reason }), 2);
        foreach (string kernel in report.Kernels.Where(static kernel => KernelBars.Scatters(kernel) is not null))
            text.Append(CultureInfo.InvariantCulture, $"\n`{kernel}` has no bar for sectors and conflicts: {KernelBars.Scatters(kernel)}.\n");
        text.Append("\n## Bars\n");
        string[] larger = [.. report.WantLargerCache], broken = [.. report.Broken];
        if (larger.Length > 0)
        {
            text.Append(
                CultureInfo.InvariantCulture,
                $"Of four pictures at once, these keep the bar of bytes with {Card.LargeCache >> 20} MB of second-level cache, as the larger cards have, and not with "
                + $"{Card.SmallestCache >> 20} MB. The emulator runs one block after the other; on a card those that share weights run at once.\n");
            foreach (string line in larger) text.Append(CultureInfo.InvariantCulture, $"- {line}\n");
            text.Append('\n');
        }

        text.Append(broken.Length == 0 ? larger.Length == 0 ? "All hold.\n" : "All others hold.\n" : "These do not hold yet:\n");
        foreach (string line in broken) text.Append(CultureInfo.InvariantCulture, $"- {line}\n");
        return text.ToString();
    }

    private static void Table(StringBuilder text, string[] headers, IEnumerable<string[]> rows, int texts)
    {
        Row(headers);
        Row([.. headers.Select((_, i) => i < texts ? "---" : "---:")]);
        foreach (string[] row in rows) Row(row);

        void Row(string[] cells) => text.Append("| ").AppendJoin(" | ", cells).Append(" |\n");
    }

    private static string Names() => string.Join(" / ", Card.All.Select(static card => card.Name));

    private static string Number(double value) => value.ToString("0.#", CultureInfo.InvariantCulture);
}
