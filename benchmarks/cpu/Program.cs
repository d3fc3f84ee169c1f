using System.CommandLine;
using System.Globalization;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Engines;
using BenchmarkDotNet.Exporters;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Loggers;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using LlavaSp;
using LlavaSp.Backends.Cpu;
using LlavaSp.Benchmarks;

var isa = new Option<string?>("--isa") { Description = "Instruction set [default: the best of this machine]" };
var threads = new Option<int>("--threads") { Description = "Worker threads; 0 takes every processor" };
var only = new Option<string>("--case") { Description = "Only cases whose name holds this text", DefaultValueFactory = static _ => "" };
var command = new RootCommand("Time every kind of native CPU kernel by itself") { isa, threads, only };
command.SetAction(parsed =>
{
    NativeKernels.Chosen = [.. KernelCase.All().Where(kernel => kernel.ToString().Contains(parsed.GetValue(only)!, StringComparison.OrdinalIgnoreCase))];
    if (NativeKernels.Chosen.Count == 0)
    {
        Console.Error.WriteLine($"--case {parsed.GetValue(only)}: no case has it; there are {string.Join("; ", KernelCase.All())}");
        return 2;
    }

    try
    {
        using var machine = new Machine(new CpuBackendOptions(parsed.GetValue(isa), parsed.GetValue(threads)));
        Machine.Current = machine;
        // Passes take milliseconds, so one is an iteration.
        Job job = Job.Default.WithToolchain(InProcessEmitToolchain.Instance).WithStrategy(RunStrategy.Monitoring).WithWarmupCount(2).WithIterationCount(9);
        ManualConfig config = ManualConfig.CreateEmpty().AddJob(job).AddLogger(ConsoleLogger.Default).AddExporter(MarkdownExporter.GitHub)
            .AddColumnProvider(DefaultColumnProviders.Params).WithSummaryStyle(SummaryStyle.Default.WithMaxParameterColumnWidth(60))
            .AddColumn(StatisticColumn.Median, StatisticColumn.Min, StatisticColumn.Max).AddColumn(CostColumn.All(machine))
            .WithArtifactsPath(Path.Combine("build", "benchmarks"));
        BenchmarkRunner.Run<NativeKernels>(config);
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{machine.Backend.Info.InstructionSet}, {machine.Backend.Info.Threads} threads: read {machine.Ceilings.ReadBytes / 1e9:f1} GB/s, float32 {machine.Ceilings.Float32 / 1e9:f0} GFLOP/s, int8 {machine.Ceilings.Int8 / 1e9:f0} Gop/s"));
        return 0;
    }
    catch (LlavaSpException e)
    {
        Console.Error.WriteLine(e.Message);
        return 2;
    }
});
return command.Parse(args).Invoke();
