using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text;
using LlavaSp.Backends.Cuda.Driver;

namespace LlavaSp.Backends.Cuda;

/// <summary>The loaded kernels: each is found once, by name, and launched with a struct that mirrors its parameters field by field.</summary>
internal sealed unsafe class CudaModule(CudaDevice device, ReadOnlySpan<byte> image) : IDisposable
{
    private const int SharedBytesWithoutAsking = 48 << 10;

    private readonly ImageHandle _module = new(device.Context, image);
    private readonly List<(string Name, Type Arguments)> _kernels = [];

    /// <summary>Names and argument structs of the kernels found so far: tests hold them against the parameter tables of the image.</summary>
    public IReadOnlyList<(string Name, Type Arguments)> Kernels => _kernels;

    /// <summary>Finds a kernel.</summary>
    /// <typeparam name="TArguments">Its parameters in order, sequential layout: ulong or nint for pointers, int, float.</typeparam>
    /// <param name="name">Its name.</param>
    /// <param name="sharedBytes">Most dynamic shared memory that a launch will ask for; beyond 48 KiB the driver must be told before.</param>
    /// <exception cref="CudaException">The image has no such kernel.</exception>
    public Kernel<TArguments> Find<[DynamicallyAccessedMembers(Kernel.ArgumentFields)] TArguments>(string name, int sharedBytes = 0)
        where TArguments : unmanaged
    {
        device.Context.MakeCurrent();
        CudaDriver driver = device.Driver;
        nint function;
        fixed (byte* text = Encoding.UTF8.GetBytes(name + '\0'))
            driver.ThrowOnError(driver.ModuleGetFunction(&function, _module.Value, text), "cuModuleGetFunction", $"looking for kernel {name}");
        if (sharedBytes > SharedBytesWithoutAsking)
        {
            driver.ThrowOnError(
                driver.FuncSetAttribute(function, FunctionAttribute.MaxDynamicSharedSizeBytes, sharedBytes), "cuFuncSetAttribute",
                $"allowing {sharedBytes} bytes of shared memory for {name}");
        }

        _kernels.Add((name, typeof(TArguments)));
        return new Kernel<TArguments>(device, name, function);
    }

    /// <inheritdoc/>
    public void Dispose() => _module.Dispose();
}

/// <summary>What all kernels have in common.</summary>
internal static class Kernel
{
    /// <summary>Fields that make up an argument struct.</summary>
    public const DynamicallyAccessedMemberTypes ArgumentFields = DynamicallyAccessedMemberTypes.PublicFields | DynamicallyAccessedMemberTypes.NonPublicFields;

    /// <summary>Offset and size of every parameter, in the order of declaration: each lies at the next multiple of its size.</summary>
    public static (string Name, int Offset, int Size)[] Parameters(
        [DynamicallyAccessedMembers(ArgumentFields)] Type arguments)
    {
        int end = 0;
        return [.. arguments.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic).Select(field =>
        {
            int size = SizeOf(field), offset = (end + size - 1) / size * size;
            end = offset + size;
            return (field.Name, offset, size);
        })];
    }

    private static int SizeOf(FieldInfo field)
    {
        Type type = field.FieldType;
        if (type == typeof(int) || type == typeof(uint) || type == typeof(float)) return 4;
        if (type == typeof(ulong) || type == typeof(nint)) return 8;
        throw new ArgumentException($"{field.DeclaringType}.{field.Name}: kernels take pointers, ints and floats");
    }
}

/// <summary>A kernel with typed parameters.</summary>
/// <typeparam name="TArguments">Its parameters in order.</typeparam>
internal sealed unsafe class Kernel<[DynamicallyAccessedMembers(Kernel.ArgumentFields)] TArguments>
    where TArguments : unmanaged
{
    private readonly CudaDevice _device;
    private readonly nint _function;
    private readonly nint _argumentBytes;
    private readonly string _launching;

    internal Kernel(CudaDevice device, string name, nint function)
    {
        _device = device;
        _function = function;
        _launching = $"launching {name}";
        Name = name;
        // The driver wants the exact size: without what C# adds behind the last field.
        (_, int offset, int size) = Kernel.Parameters(typeof(TArguments))[^1];
        _argumentBytes = offset + size;
        if (sizeof(TArguments) - _argumentBytes is < 0 or >= 8) throw new ArgumentException($"{typeof(TArguments)} is not laid out field by field");
    }

    /// <summary>Its name in the image.</summary>
    public string Name { get; }

    /// <summary>Blocks of so many threads and so much dynamic shared memory that one SM holds at once.</summary>
    public int BlocksPerMultiprocessor(int threads, int sharedBytes)
    {
        _device.Context.MakeCurrent();
        int blocks;
        _device.Driver.ThrowOnError(
            _device.Driver.OccupancyMaxActiveBlocksPerMultiprocessor(&blocks, _function, threads, sharedBytes),
            "cuOccupancyMaxActiveBlocksPerMultiprocessor", _launching);
        return blocks;
    }

    /// <summary>Queues it on the device's stream, or notes it where a step or a list of launches is being recorded. Allocates nothing.</summary>
    /// <param name="gridX">Blocks.</param>
    /// <param name="gridY">Blocks, at most 65535.</param>
    /// <param name="gridZ">Blocks, at most 65535.</param>
    /// <param name="threads">Threads of a block, a multiple of 32.</param>
    /// <param name="sharedBytes">Dynamic shared memory of a block.</param>
    /// <param name="arguments">Parameters.</param>
    /// <exception cref="CudaException">The driver refuses the launch, or an earlier one failed.</exception>
    public void Launch(int gridX, int gridY, int gridZ, int threads, int sharedBytes, in TArguments arguments)
    {
        TArguments copy = arguments;
        if (_device.Recorded is { } recorded)
        {
            recorded.Add(new RecordedLaunch(
                _device, Name, _function, gridX, gridY, gridZ, threads, sharedBytes, new ReadOnlySpan<byte>(&copy, (int)_argumentBytes).ToArray()));
        }
        else if (_device.Step is { } step)
        {
            step.Add(_function, gridX, gridY, gridZ, threads, sharedBytes, new ReadOnlySpan<byte>(&copy, (int)_argumentBytes), _launching);
        }
        else
        {
            _device.Launch(_function, gridX, gridY, gridZ, threads, sharedBytes, &copy, _argumentBytes, _launching);
        }
    }
}
