using System.Diagnostics;
using LlavaSp.Checkpoints;
using LlavaSp.Quantization;

namespace LlavaSp.Tests.Checkpoints;

/// <summary>A conversion that cannot finish says why in one line and leaves nothing behind.</summary>
public sealed class ConversionFailureTests
{
    private const string LimitedFolder = "LLAVA_SP_TEST_LIMITED_FOLDER";

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(700_000)]
    [InlineData(2_000_000)]
    public void AFullDiskIsToldWithPathAndCause(long room)
    {
        using var folder = new TemporaryFolder();
        using ModelCheckpoint checkpoint = ModelCheckpoint.Open(new ModelLocation(Goldens.Checkpoint("pooling-f32")));
        long left = room;
        LlavaSpException refusal = Assert.Throws<LlavaSpException>(() => CheckpointConverter.Convert(
            checkpoint, folder["out"], new ConversionOptions { MaxShardBytes = 500_000 },
            (path, _) => new FullDisk(path, bytes => (left -= bytes) >= 0), TestContext.Current.CancellationToken));
        Assert.Contains("cannot be written", refusal.Message, StringComparison.Ordinal);
        Assert.Contains("No space left", refusal.Message, StringComparison.Ordinal);
        Assert.Contains(folder["out"], refusal.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(refusal.Message, char.IsControl);
        Assert.Empty(Directory.GetFileSystemEntries(folder.Root));
    }

    /// <summary>Runs itself again in a process whose files may have 100 KiB.</summary>
    [Fact]
    public async Task ARealLimitIsToldAsWell()
    {
        if (Environment.GetEnvironmentVariable(LimitedFolder) is { } limited)
        {
            using ModelCheckpoint checkpoint = ModelCheckpoint.Open(new ModelLocation(Goldens.Checkpoint("pooling-f32")));
            LlavaSpException refusal = Assert.Throws<LlavaSpException>(
                () => CheckpointConverter.Convert(checkpoint, limited, cancellationToken: TestContext.Current.CancellationToken));
            Assert.Contains("cannot be written", refusal.Message, StringComparison.Ordinal);
            return;
        }

        if (OperatingSystem.IsWindows()) Assert.Skip("Windows has no limit on the size of a process's files");
        using var folder = new TemporaryFolder();
        string host = Environment.ProcessPath!, self = Path.Combine(AppContext.BaseDirectory, "LlavaSp.Tests.dll");
        string runner = Path.GetFileNameWithoutExtension(host) == "dotnet" ? $"'{host}' '{self}'" : $"'{host}'";
        var start = new ProcessStartInfo("bash") { RedirectStandardOutput = true, RedirectStandardError = true };
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add($"ulimit -f 100; exec {runner} -method '{typeof(ConversionFailureTests).FullName}.{nameof(ARealLimitIsToldAsWell)}'");
        start.Environment[LimitedFolder] = folder["out"];
        // The runtime's own double mapping of code is a file larger than the limit.
        start.Environment["DOTNET_EnableWriteXorExecute"] = "0";
        using Process child = Process.Start(start)!;
        Task<string> error = child.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        string output = await child.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken) + await error;
        await child.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.True(output.Contains("Total: 1, Errors: 0, Failed: 0, Skipped: 0", StringComparison.Ordinal), output);
        Assert.True(child.ExitCode == 0, $"exit code {child.ExitCode}: {output}");
        Assert.Empty(Directory.GetFileSystemEntries(folder.Root));
    }

    [Fact]
    public void CancellingLeavesNothing()
    {
        using var folder = new TemporaryFolder();
        using ModelCheckpoint checkpoint = ModelCheckpoint.Open(new ModelLocation(Goldens.Checkpoint("cropping-lora")));
        using var stop = new CancellationTokenSource();
        int blocks = 0;
        var options = new ConversionOptions { Weights = WeightFormat.Int8(), Progress = new Listener(() => { if (++blocks == 40) stop.Cancel(); }) };
        Assert.ThrowsAny<OperationCanceledException>(() => CheckpointConverter.Convert(checkpoint, folder["out"], options, stop.Token));
        Assert.Equal(40, blocks);
        Assert.Empty(Directory.GetFileSystemEntries(folder.Root));
    }

    [Fact]
    public void AFolderInUseIsNotTouched()
    {
        using var folder = new TemporaryFolder();
        Directory.CreateDirectory(folder["full"]);
        folder.Write("full/notes.txt", "mine");
        folder.Write("file", "mine");
        Refused(folder["full"], "not empty");
        Refused(folder["file"], "is a file");
        Refused(folder["file/inside"], "the folder above it does not exist");
        Refused(folder["missing/out"], "the folder above it does not exist");
        Refused("", "no valid name");
        Refused("a\0b", "no valid name");
        Assert.Equal("mine", File.ReadAllText(folder["full/notes.txt"]));
        Assert.Equal(["file", "full"], Directory.GetFileSystemEntries(folder.Root).Select(Path.GetFileName).Order(StringComparer.Ordinal));

        void Refused(string target, string why)
        {
            using ModelCheckpoint checkpoint = SyntheticModel.Create("tiny", null);
            LlavaSpException refusal = Assert.Throws<LlavaSpException>(
                () => CheckpointConverter.Convert(checkpoint, target, cancellationToken: TestContext.Current.CancellationToken));
            Assert.Contains(why, refusal.Message, StringComparison.Ordinal);
            Assert.DoesNotContain(refusal.Message, char.IsControl);
        }
    }

    [Fact]
    public void AnEmptyFolderIsFilled()
    {
        using var folder = new TemporaryFolder();
        Directory.CreateDirectory(folder["out"]);
        using ModelCheckpoint checkpoint = SyntheticModel.Create("tiny", null);
        ConversionResult result = CheckpointConverter.Convert(checkpoint, folder["out"] + "/", cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal(folder["out"], result.Folder);
        Assert.True(File.Exists(folder["out/model.safetensors"]));
        Assert.Single(Directory.GetFileSystemEntries(folder.Root));
    }

    [Theory]
    [InlineData("model.layers.1.mlp.up_proj.weight", float.NaN, "int8", "not finite")]
    [InlineData("model.layers.1.mlp.up_proj.weight", float.NegativeInfinity, "int4", "not finite")]
    [InlineData("model.conv_8.1.weight", float.NaN, "int4", "not finite")]
    [InlineData("lm_head.weight", 1e30f, "int4", "too large")]
    [InlineData("lm_head.weight", 1e30f, "f16", "too large")]
    [InlineData("lm_head.weight", float.MaxValue, "bf16", "too large")]
    public void AWeightThatDoesNotFitTheFormatIsNamed(string tensor, float value, string weights, string why)
    {
        using var folder = new TemporaryFolder();
        CheckpointBuilder.FromGolden("pooling-f32").Edit(tensor, values => values[^1] = value).Write(folder["source"]);
        using ModelCheckpoint checkpoint = ModelCheckpoint.Open(new ModelLocation(folder["source"], null, CheckpointBuilder.ClipFolder));
        var options = new ConversionOptions { Weights = WeightFormat.Parse(weights) };
        CheckpointFiles.Refuses(
            () => CheckpointConverter.Convert(checkpoint, folder["out"], options, TestContext.Current.CancellationToken),
            NameMap.Canonical(tensor), "row", why);
        Assert.Equal(["source"], Directory.GetFileSystemEntries(folder.Root).Select(Path.GetFileName));
    }

    [Fact]
    public void NaNAndInfinityStayInFloatingPointFormats()
    {
        using var folder = new TemporaryFolder();
        CheckpointBuilder.FromGolden("pooling-f32").Edit("lm_head.weight", values => (values[0], values[1]) = (float.NaN, float.NegativeInfinity)).Write(folder["source"]);
        using ModelCheckpoint checkpoint = ModelCheckpoint.Open(new ModelLocation(folder["source"], null, CheckpointBuilder.ClipFolder));
        CheckpointConverter.Convert(checkpoint, folder["out"], new ConversionOptions { Weights = WeightFormat.F16 }, TestContext.Current.CancellationToken);
        using SafetensorsFile file = SafetensorsFile.Open(folder["out/model.safetensors"]);
        float[] head = Floats.Read(file, file.Tensors["lm_head.weight"]);
        Assert.True(float.IsNaN(head[0]));
        Assert.Equal(float.NegativeInfinity, head[1]);
    }

    private sealed class Listener(Action report) : IProgress<LoadProgress>
    {
        public void Report(LoadProgress value) => report();
    }

    /// <summary>A file on a disk with so much room.</summary>
    private sealed class FullDisk(string path, Func<int, bool> hasRoom) : FileStream(path, FileMode.CreateNew)
    {
        public override void Write(ReadOnlySpan<byte> buffer)
        {
            if (!hasRoom(buffer.Length)) throw new IOException("No space left on device");
            base.Write(buffer);
        }
    }
}
