using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace LlavaSp.Checkpoints;

/// <summary>
/// A file mapped read-only into memory, of any size; spans point straight at the pages. The file must not shrink while it is open:
/// the system ends a process that reads a page that is gone.
/// </summary>
internal sealed unsafe partial class MappedFile : IDisposable
{
    private const int MadvDontNeed = 4;

    private readonly MemoryMappedFile _map;
    private readonly MemoryMappedViewAccessor _view;
    private readonly byte* _start;
    private bool _disposed;

    private MappedFile(string path, SafeFileHandle file)
    {
        Path = path;
        Length = RandomAccess.GetLength(file);
        _map = MemoryMappedFile.CreateFromFile(file, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: false);
        _view = _map.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);
        byte* start = null;
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
        _start = start + _view.PointerOffset;
    }

    /// <summary>Path as it was given.</summary>
    public string Path { get; }

    /// <summary>Bytes of the file when it was opened.</summary>
    public long Length { get; }

    /// <exception cref="CheckpointException">Not a regular file, empty, unreadable, or a Git LFS pointer.</exception>
    public static MappedFile Open(string path)
    {
        SafeFileHandle? file = null;
        MappedFile? mapped = null;
        try
        {
            // Asked before opening: opening a pipe would wait for its writer.
            if (Directory.Exists(path)) throw Refusal.Of(path, "is a folder, not a file");
            if (!File.Exists(path)) throw Refusal.Of(path, "there is no such file");
            FileInfo info = File.ResolveLinkTarget(path, returnFinalTarget: true) as FileInfo ?? new FileInfo(path);
            if (!info.Exists) throw Refusal.Of(path, "is a link to a file that is not there");
            if (info.Length == 0) throw Refusal.Of(path, "is empty or not a regular file");
            file = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete);
            mapped = new MappedFile(path, file);
            file = null;
            if (mapped.Slice(0, Math.Min(mapped.Length, 64)).StartsWith("version https://git-lfs"u8))
            {
                throw Refusal.Of(path, "is a Git LFS pointer, not the file itself: fetch it with 'git lfs pull'");
            }
            MappedFile result = mapped;
            mapped = null;
            return result;
        }
        catch (Exception cause) when (cause is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw Refusal.Of(path, $"cannot be read: {Refusal.OneLine(cause.Message)}", cause);
        }
        finally
        {
            mapped?.Dispose();
            file?.Dispose();
        }
    }

    /// <summary>The bytes from <paramref name="offset"/>; the caller has checked that they lie inside the file.</summary>
    public ReadOnlySpan<byte> Slice(long offset, long length)
    {
        ObjectDisposedException.ThrowIf(_disposed, typeof(ITensorSource));
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, Length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, Length - offset);
        return new ReadOnlySpan<byte>(_start + offset, checked((int)length));
    }

    /// <summary>
    /// Lets go of the whole pages inside the range (Linux; elsewhere nothing happens). They are read from the file again when touched.
    /// </summary>
    public void Evict(long offset, long length)
    {
        ObjectDisposedException.ThrowIf(_disposed, typeof(ITensorSource));
        if (!OperatingSystem.IsLinux()) return;
        nuint page = (nuint)Environment.SystemPageSize;
        nuint begin = ((nuint)(_start + offset) + page - 1) / page * page;
        nuint end = (nuint)(_start + offset + length) / page * page;
        // Advice only: when the system does not take it, the pages stay, which is no error.
        if (end > begin) _ = Madvise((void*)begin, end - begin, MadvDontNeed);
    }

    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
        _map.Dispose();
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Madvise(void* address, nuint length, int advice);
}
