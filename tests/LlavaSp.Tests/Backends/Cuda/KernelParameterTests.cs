using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using LlavaSp.Backends;
using LlavaSp.Backends.Cuda;
using LlavaSp.Backends.Cuda.Driver;
using LlavaSp.Quantization;

namespace LlavaSp.Tests.Backends.Cuda;

/// <summary>
/// The struct with which C# launches a kernel has the parameters that nvcc gave it: same number, offsets and sizes. The table is what
/// <c>scripts/kernel-parameters</c> read from the compiled kernels; without nvcc there is none.
/// </summary>
public sealed class KernelParameterTests
{
    private static string TablePath => Path.Combine(Goldens.Root, "..", "..", "build", "native", "kernels", "parameters.txt");

    [Fact]
    public void EveryStructHasTheParametersOfItsKernel()
    {
        Dictionary<string, List<(int Offset, int Size)>> table = Table();
        List<(string Name, Type Arguments)> kernels = LaunchedKernels();
        Assert.NotEmpty(kernels);
        string[] wrong = [.. kernels.Select(kernel => Mismatch(kernel.Name, table, kernel.Arguments)).OfType<string>()];
        Assert.True(wrong.Length == 0, string.Join('\n', wrong));
    }

    [Fact]
    public void EveryCompiledKernelHasAStruct()
    {
        Dictionary<string, List<(int Offset, int Size)>> table = Table();
        string[] without = [.. table.Keys.Except(LaunchedKernels().Select(kernel => kernel.Name)).Order(StringComparer.Ordinal)];
        Assert.True(without.Length == 0, "compiled, but never looked for: " + string.Join(", ", without));
    }

    [Fact]
    public void TheEmulatorTakesTheParametersOfTheFatbin()
    {
        string[] names = [.. Table().Keys];
        if (!KernelImage.IsEmbedded) Cannot("this build has no kernels for GPUs");
        // The emulator holds every kernel that is looked for against all architectures of an image that stands behind its own.
        CudaDriver driver = CudaLibrary.Open(emulator: true);
        using var device = new CudaDevice(driver, 0);
        using var module = new CudaModule(device, KernelImage.LoadChecked(driver));
        foreach (string name in names) module.Find<Right>(name);
    }

    [Fact]
    public void AMismatchIsFound()
    {
        Dictionary<string, List<(int Offset, int Size)>> table = Parse(["k 0 0 8", "k 1 8 4", "k 2 16 8"]);
        Assert.Null(Mismatch("k", table, typeof(Right)));
        Assert.Contains("2 parameters, the kernel takes 3", Mismatch("k", table, typeof(TooShort)), StringComparison.Ordinal);
        Assert.Contains("Second: 8 bytes at 8, the kernel's has 4 bytes at 8", Mismatch("k", table, typeof(Wider)), StringComparison.Ordinal);
        Assert.Contains("no such kernel", Mismatch("other", table, typeof(Right)), StringComparison.Ordinal);
        Assert.Contains("Third: C# lays it out at 12", Mismatch("k", table, typeof(Packed)), StringComparison.Ordinal);
    }

    /// <summary>Says how a struct differs from the parameters of a kernel; null if it does not.</summary>
    private static string? Mismatch(string kernel, Dictionary<string, List<(int Offset, int Size)>> table, Type arguments)
    {
        if (!table.TryGetValue(kernel, out List<(int Offset, int Size)>? parameters)) return $"{kernel}: no such kernel was compiled";
        (string Name, int Offset, int Size)[] fields = Kernel.Parameters(arguments);
        if (fields.Length != parameters.Count) return $"{kernel}: {arguments.Name} has {fields.Length} parameters, the kernel takes {parameters.Count}";
        for (int i = 0; i < fields.Length; i++)
        {
            (string name, int offset, int size) = fields[i];
            if ((offset, size) != parameters[i])
                return $"{kernel}: {arguments.Name}.{name}: {size} bytes at {offset}, the kernel's has {parameters[i].Size} bytes at {parameters[i].Offset}";
            int actual = (int)Marshal.OffsetOf(arguments, name);
            if (actual != offset) return $"{kernel}: {arguments.Name}.{name}: C# lays it out at {actual}, the kernel wants {offset}";
        }

        return null;
    }

    /// <summary>Offset and size of the parameters of every kernel, in their order; skips the test where the kernels were not compiled.</summary>
    private static Dictionary<string, List<(int Offset, int Size)>> Table()
    {
        if (!File.Exists(TablePath)) Cannot("the kernels were not compiled: nvcc is missing (tools/install-cuda)");
        Dictionary<string, List<(int Offset, int Size)>> table = Parse(File.ReadLines(TablePath));
        Assert.NotEmpty(table);
        return table;
    }

    private static Dictionary<string, List<(int Offset, int Size)>> Parse(IEnumerable<string> lines)
    {
        var table = new Dictionary<string, List<(int Offset, int Size)>>(StringComparer.Ordinal);
        foreach (string line in lines)
        {
            string[] parts = line.Split(' ');
            int[] numbers = [.. parts[1..].Select(part => int.Parse(part, CultureInfo.InvariantCulture))];
            if (!table.TryGetValue(parts[0], out List<(int Offset, int Size)>? parameters)) table[parts[0]] = parameters = [];
            // Ordinal, offset, size; the lines of a kernel are in the order of the ordinals.
            Assert.Equal(parameters.Count, numbers[0]);
            parameters.Add((numbers[1], numbers[2]));
        }

        return table;
    }

    /// <summary>Names and structs that the backend finds its kernels with, on the emulator: it needs no GPU.</summary>
    private static List<(string Name, Type Arguments)> LaunchedKernels()
    {
        var kernels = new List<(string Name, Type Arguments)>();
        foreach (bool int8Activations in new[] { false, true })
        {
            CudaBackend backend;
            try
            {
                backend = new CudaBackend(new DeviceOptions("cuda-emulator", Int8Activations: int8Activations));
            }
            catch (DeviceException e)
            {
                Cannot(e.Message);
                throw;
            }

            using (backend)
            {
                CreateTables(backend);
                MultiplyInEveryForm(backend);
                kernels.AddRange(backend.Module.Kernels);
            }
        }

        return kernels;
    }

    /// <summary>A table of kernels is otherwise made by the first operation that needs it: any class here that is built from the module.</summary>
    private static void CreateTables(CudaBackend backend)
    {
        foreach (Type type in typeof(CudaBackend).Assembly.GetTypes().Where(type => type.Namespace == typeof(CudaBackend).Namespace && !type.IsNested))
        {
            foreach (ConstructorInfo constructor in type.GetConstructors())
            {
                Type[] parameters = [.. constructor.GetParameters().Select(parameter => parameter.ParameterType)];
                if (!parameters.Contains(typeof(CudaModule))) continue;
                object table = constructor.Invoke([.. parameters.Select(parameter => Argument(parameter, backend))]);
                (table as IDisposable)?.Dispose();
            }
        }

        static object Argument(Type parameter, CudaBackend backend) =>
            parameter == typeof(CudaModule) ? backend.Module
            : parameter == typeof(CudaDevice) ? backend.Device
            : parameter == typeof(int) ? backend.Device.Multiprocessors
            : throw new InvalidOperationException($"this test does not know what {parameter} is to a table of kernels");
    }

    /// <summary>The kernels of matrix products are found one by one, by their form and the weights.</summary>
    private static void MultiplyInEveryForm(CudaBackend backend)
    {
        foreach (WeightFormat format in new[] { WeightFormat.F16, WeightFormat.BF16, WeightFormat.Int8(32), WeightFormat.Int8(), WeightFormat.Int4() })
        {
            backend.UseWeights(format);
            using Weight weight = backend.CreateWeight(new MatrixSource(16, 64, new float[16 * 64]), format);
            foreach (LinearForm form in LinearPlan.Forms)
            {
                if (form.Kind != LinearKind.Streaming && ((CudaWeight)weight).Int8Mma != (form.Kind == LinearKind.Integer)) continue;
                foreach (Precision precision in CudaTesting.FullAndOperand)
                {
                    using Tensor x = CudaTesting.Tensor(backend, precision, 1, 64, new float[64]), y = backend.CreateTensor(1, 16);
                    backend.Product((CudaTensor)y, (CudaTensor)x, (CudaWeight)weight, default, null, gated: false, form);
                    if (form.Kind != LinearKind.Integer) continue;
                    using Tensor norm = CudaTesting.Tensor(backend, Precision.Full, 1, 64, new float[64]);
                    backend.Quantized((CudaTensor)x, weight.Format.GroupSize, (CudaTensor)norm, 1e-5f);
                }
            }
        }

        backend.Synchronize();
    }

    /// <summary>Skips the test, or fails it where the compilers are required.</summary>
    private static void Cannot(string reason)
    {
        Assert.False(Environment.GetEnvironmentVariable("LLAVA_SP_REQUIRE_CUDA_TOOLS") == "1", reason);
        Assert.Skip(reason);
    }

#pragma warning disable CS0649, CA1823 // only their layout is of interest
    private struct Right
    {
        public ulong First;
        public int Second;
        public ulong Third;
    }

    private struct TooShort
    {
        public ulong First;
        public int Second;
    }

    private struct Wider
    {
        public ulong First;
        public ulong Second;
        public ulong Third;
    }

    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    private struct Packed
    {
        public ulong First;
        public int Second;
        public ulong Third;
    }
#pragma warning restore CS0649, CA1823
}
