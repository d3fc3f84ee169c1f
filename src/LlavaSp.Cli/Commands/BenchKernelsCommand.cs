using System.CommandLine;
using System.Globalization;
using LlavaSp.Backends;
using LlavaSp.Backends.Cuda;
using LlavaSp.Cli.Bench.Kernels;
using LlavaSp.Cli.Options;
using LlavaSp.Cli.Output;
using LlavaSp.Cli.Running;

namespace LlavaSp.Cli.Commands;

/// <summary><c>llava-sp bench kernels</c>: every CUDA kernel of the published 7B model by itself.</summary>
internal static class BenchKernelsCommand
{
    private const string Emulator = "cuda-emulator", StepFormat = "int4", StepName = "decode step";
    private const int MostMultiprocessors = 1024;

    public static Command Create()
    {
        var command = new Command("kernels", "Every CUDA kernel of the 7B model by itself: what it moves, how it fills an SM, what cards could reach with it");
        var device = new Option<string>("--device")
        {
            Description = "cuda-emulator counts what kernels move; cuda, cuda:N measures on a GPU [default: cuda where there is one]",
            HelpName = "NAME",
        };
        var filter = new Option<string>("--filter") { Description = "Only cases whose stage, kernel, shape or weights have this text", HelpName = "TEXT" };
        Option<int?> sms = Choices.Parsed<int?>(
            "--sms", $"Multiprocessors that the emulator's launches are planned for [default: {Card.All[0].Multiprocessors}, as an {Card.All[0].Name}]", "N",
            static text => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int count) && count is >= 1 and <= MostMultiprocessors
                ? count
                : throw new LlavaSpException($"give a number from 1 to {MostMultiprocessors}"));
        Option<bool> json = Choices.Json();
        var markdown = new Option<string>("--markdown")
        {
            Description = "Write the tables to this file as well, as docs/kernels.md has them",
            HelpName = "FILE",
        };
        command.Add(device);
        command.Add(filter);
        command.Add(sms);
        command.Add(json);
        command.Add(markdown);
        command.SetAction(parsed => Run(
            parsed.GetValue(device), parsed.GetValue(filter), parsed.GetValue(sms), parsed.GetValue(json), parsed.GetValue(markdown)));
        return command;
    }

    private static int Run(string? device, string? filter, int? sms, bool json, string? markdown)
    {
        string name = device ?? (CudaBackend.IsAvailable(out _) ? "cuda" : Emulator);
        if (name.Split(':')[0] is not ("cuda" or Emulator))
            throw new LlavaSpException($"--device {name}: kernels run on cuda, cuda:N or {Emulator}");
        if (name != Emulator && sms is not null) throw new LlavaSpException($"--sms {sms}: only the launches of {Emulator} are planned for another card");
        if (markdown is not null) WholeFile.RequireWritable(markdown);
        int multiprocessors = sms ?? Card.All[0].Multiprocessors;
        using CudaBackend backend = new(new DeviceOptions(name), segmentBytes: null, name == Emulator ? multiprocessors : null);
        if (name != Emulator) throw new LlavaSpException($"--device {name}: this build counts on {Emulator} only");

        KernelCase[] cases = [.. KernelCases.All(multiprocessors).Where(kernel => Matches(kernel.Name, filter))];
        bool wholeStep = Matches(StepName, filter);
        if (cases.Length == 0 && !wholeStep) throw new LlavaSpException($"--filter {filter}: no kernel has it in its stage, name, shape or weights");
        var bench = new EmulatorBench(backend);
        List<EmulatorResult> results = [];
        DecodeStep? step = ProgressDisplay.Steps("kernels", cases.Length + (wholeStep ? 1 : 0), advance =>
        {
            foreach (KernelCase kernel in cases)
            {
                results.Add(bench.Measure(kernel));
                advance(kernel.Name);
            }

            return wholeStep ? DecodeStep.Measure(backend, StepFormat) : null;
        });
        var report = new EmulatorReport(results, KernelBudget.Load(), step, multiprocessors);
        if (markdown is not null) WholeFile.Write(markdown, KernelDocument.Of(report));
        if (json) report.WriteJson();
        else report.WriteText();
        return ExitCode.Success;
    }

    private static bool Matches(string text, string? filter) => filter is null || text.Contains(filter, StringComparison.OrdinalIgnoreCase);
}
