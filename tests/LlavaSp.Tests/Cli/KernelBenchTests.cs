using System.Text.Json;

namespace LlavaSp.Tests.Cli;

/// <summary><c>bench kernels</c>: what it reports, and what it leaves behind.</summary>
public sealed class KernelBenchTests
{
    [Fact]
    public void CountsWhatMatchesAndWritesTheDocumentWhole()
    {
        string folder = Directory.CreateTempSubdirectory("llava-sp-kernels-").FullName, file = Path.Combine(folder, "kernels.md");
        try
        {
            CliResult result = CliTool.Run("bench", "kernels", "--device", "cuda-emulator", "--filter", "argmax", "--markdown", file, "--json");
            result.SkipWithoutEmulator();
            JsonElement[] kernels = [.. result.Json.GetProperty("kernels").EnumerateArray()];
            Assert.Equal(["argmax_blocks", "argmax_result"], kernels.Select(static kernel => kernel.GetProperty("kernel").GetString()!));
            Assert.Equal(128, result.Json.GetProperty("multiprocessors").GetInt32());
            Assert.All(kernels, static kernel =>
            {
                Assert.Equal("launch", kernel.GetProperty("bound").GetString());
                Assert.Equal(4, kernel.GetProperty("occupancy").EnumerateObject().Count());
                Assert.Equal(4, kernel.GetProperty("predicted_floor_microseconds").EnumerateObject().Count());
            });
            // 32000 float32 are read once, in whole sectors.
            Assert.Equal(128000, kernels[0].GetProperty("least_bytes").GetDouble());
            Assert.Equal(128000 / 1008e3, kernels[0].GetProperty("predicted_floor_microseconds").GetProperty("RTX 4090").GetDouble(), 3);
            Assert.InRange(kernels[0].GetProperty("memory_bytes").GetDouble(), 128000, 130000);
            Assert.Equal([file], Directory.GetFiles(folder));
            string text = File.ReadAllText(file);
            Assert.Contains("| argmax_blocks | argmax 32000 |", text, StringComparison.Ordinal);
            Assert.Contains("predicted, not measured", text, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void PrintsATable()
    {
        CliResult result = CliTool.Run("bench", "kernels", "--device", "cuda-emulator", "--filter", "argmax_result", "--sms", "16");
        result.SkipWithoutEmulator();
        Assert.Equal(0, result.ExitCode);
        Assert.Contains("argmax_result", result.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("argmax_blocks", result.Output, StringComparison.Ordinal);
        Assert.Contains("planned for 16 SMs", result.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void MeasuresByTheDevicesClock()
    {
        CliResult result = CliTool.Run("bench", "kernels", "--device", "cuda-emulator", "--measure", "--filter", "argmax", "--json");
        result.SkipWithoutEmulator();
        JsonElement json = result.Json;
        Assert.Equal("not on the emulator", json.GetProperty("cublas").GetString());
        Assert.Contains("computed, not measured", json.GetProperty("peaks").GetProperty("reason").GetString(), StringComparison.Ordinal);
        JsonElement[] kernels = [.. json.GetProperty("kernels").EnumerateArray()];
        Assert.Equal(["argmax_blocks", "argmax_result"], kernels.Select(static kernel => kernel.GetProperty("kernel").GetString()!));
        Assert.All(kernels, static kernel =>
        {
            double milliseconds = kernel.GetProperty("milliseconds").GetDouble();
            Assert.InRange(milliseconds, kernel.GetProperty("min").GetDouble(), kernel.GetProperty("max").GetDouble());
            Assert.InRange(kernel.GetProperty("bytes_per_second").GetDouble() / (kernel.GetProperty("least_bytes").GetDouble() / milliseconds * 1e3), 0.9, 1.1);
            Assert.InRange(kernel.GetProperty("occupancy").GetDouble(), 0.01, 1);
            Assert.Equal(JsonValueKind.Null, kernel.GetProperty("cublas_ratio").ValueKind);
        });
        CliResult table = CliTool.Run("bench", "kernels", "--device", "cuda-emulator", "--measure", "--filter", "argmax_result");
        Assert.Equal(0, table.ExitCode);
        Assert.Contains("argmax_result", table.Output, StringComparison.Ordinal);
        Assert.Contains("cuBLAS: not on the emulator", table.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void RefusesWhatItCannotDo()
    {
        CliTool.Run("bench", "kernels", "--device", "cpu").IsRefusal("--device cpu");
        CliTool.Run("bench", "kernels", "--device", "cuda-emulator", "--measure", "--markdown", "x.md").IsRefusal("--markdown x.md");
    }
}
