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
    private const int MostMultiprocessors = 1024, Runs = 7;

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
        var measure = new Option<bool>("--measure") { Description = $"Time them by the device's clock, on {Emulator} as well: a rehearsal, its times mean nothing" };
        Option<bool> json = Choices.Json();
        var markdown = new Option<string>("--markdown")
        {
            Description = "Write the tables to this file as well, as docs/kernels.md has them",
            HelpName = "FILE",
        };
        command.Add(device);
        command.Add(filter);
        command.Add(sms);
        command.Add(measure);
        command.Add(json);
        command.Add(markdown);
        command.SetAction(parsed => Run(
            parsed.GetValue(device), parsed.GetValue(filter), parsed.GetValue(sms), parsed.GetValue(measure), parsed.GetValue(json),
            parsed.GetValue(markdown)));
        return command;
    }

    private static int Run(string? device, string? filter, int? sms, bool measure, bool json, string? markdown)
    {
        string name = device ?? (CudaBackend.IsAvailable(out _) ? "cuda" : Emulator);
        if (name.Split(':')[0] is not ("cuda" or Emulator))
            throw new LlavaSpException($"--device {name}: kernels run on cuda, cuda:N or {Emulator}");
        if (name != Emulator && sms is not null) throw new LlavaSpException($"--sms {sms}: only the launches of {Emulator} are planned for another card");
        if (name != Emulator || measure)
        {
            if (markdown is not null) throw new LlavaSpException($"--markdown {markdown}: docs/kernels.md holds what {Emulator} counts");
            return Measure(name, filter, sms, json);
        }

        if (markdown is not null) WholeFile.RequireWritable(markdown);
        return Count(filter, sms ?? Card.All[0].Multiprocessors, json, markdown);
    }

    private static int Measure(string device, string? filter, int? sms, bool json)
    {
        using CudaBackend backend = new(new DeviceOptions(device), segmentBytes: null, sms);
        KernelCase[] cases = Cases(backend.Device.Multiprocessors, filter);
        if (cases.Length == 0) throw NoCase(filter);
        using Cublas? cublas = Yardstick(backend, out string yardstick);
        using var bench = new DeviceBench(backend, Runs, cublas: cublas);
        List<DeviceResult> results = [];
        List<string> skipped = [];
        ProgressDisplay.Steps("kernels", cases.Length, advance =>
        {
            foreach (KernelCase kernel in cases)
            {
                try
                {
                    results.Add(bench.Measure(kernel));
                }
                catch (DeviceException e) when (e.IsOutOfMemory)
                {
                    skipped.Add($"{kernel.Name}: {e.Message}");
                }

                advance(kernel.Name);
            }

            return true;
        });
        foreach (string line in skipped) Notes.Write($"left out: {line}");
        var report = new DeviceReport(results, skipped, backend, bench.Card, yardstick, Runs);
        if (json) report.WriteJson();
        else report.WriteText();
        return ExitCode.Success;
    }

    /// <summary>cuBLAS, where it is installed. It knows nothing of the emulator: there it is looked for only where it was named.</summary>
    private static Cublas? Yardstick(CudaBackend backend, out string found)
    {
        if (backend.Device.Driver.IsEmulator && Environment.GetEnvironmentVariable(CublasLibrary.FileVariable) is null or "")
        {
            found = "not on the emulator";
            return null;
        }

        if (!CublasLibrary.TryLoad(out CublasLibrary? library, out found)) return null;
        try
        {
            backend.Device.Context.MakeCurrent();
            Cublas cublas = library.Open(backend.Device.Stream.Value);
            found = $"{library.Name}, f16 without bias, activation and residual";
            return cublas;
        }
        catch (LlavaSpException e)
        {
            found = e.Message;
            return null;
        }
    }

    private static int Count(string? filter, int multiprocessors, bool json, string? markdown)
    {
        using CudaBackend backend = new(new DeviceOptions(Emulator), segmentBytes: null, multiprocessors);
        KernelCase[] cases = Cases(multiprocessors, filter);
        bool wholeStep = Matches(StepName, filter);
        if (cases.Length == 0 && !wholeStep) throw NoCase(filter);
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

    private static KernelCase[] Cases(int multiprocessors, string? filter) =>
        [.. KernelCases.All(multiprocessors).Where(kernel => Matches(kernel.Name, filter))];

    private static LlavaSpException NoCase(string? filter) => new($"--filter {filter}: no kernel has it in its stage, name, shape or weights");

    private static bool Matches(string text, string? filter) => filter is null || text.Contains(filter, StringComparison.OrdinalIgnoreCase);
}
