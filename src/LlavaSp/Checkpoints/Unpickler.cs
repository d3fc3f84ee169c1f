using System.Buffers.Binary;
using System.Text;

namespace LlavaSp.Checkpoints;

/// <summary>
/// A restricted reader of Python pickles (protocol 2 to 5): plain containers and numbers, and the globals of <see cref="TorchGlobals"/>.
/// It builds values and nothing else; what it does not know, it refuses. Everything that grows has a limit.
/// </summary>
internal ref struct Unpickler
{
    /// <summary>Longest pickle; a tensor takes about 150 bytes of it, the weights lie elsewhere.</summary>
    public const int MaxLength = 32 << 20;

    private const int MaxOpcodes = 2_000_000;
    private const int MaxStack = 1 << 18;
    private const int MaxMemo = 1_000_000;

    private static readonly UTF8Encoding s_utf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private readonly string _path;
    private readonly ReadOnlySpan<byte> _bytes;
    private readonly List<object?> _stack = [];
    private readonly List<int> _marks = [];
    private readonly Dictionary<uint, object?> _memo = [];
    private int _at;
    private int _opcodeAt;

    private Unpickler(string path, ReadOnlySpan<byte> bytes)
    {
        _path = path;
        _bytes = bytes;
    }

    /// <summary>The object that the pickle describes.</summary>
    /// <exception cref="CheckpointException">Truncated, damaged, too large, cyclic, or it asks for something that is not data.</exception>
    public static object? Load(string path, ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length > MaxLength) throw Refusal.Of(path, $"data.pkl has {bytes.Length} bytes, more than {MaxLength}");
        object? value = new Unpickler(path, bytes).Run();
        if (value is PickleContainer root && root.HasCycle()) throw Refusal.Of(path, "data.pkl holds a container that contains itself");
        return value;
    }

    private object? Run()
    {
        if (ReadByte() != 0x80) throw Fail("does not begin as a pickle of protocol 2 or later");
        _at = 0;
        for (int count = 0; count < MaxOpcodes; count++)
        {
            _opcodeAt = _at;
            byte opcode = ReadByte();
            if (opcode == '.')
            {
                object? value = Pop();
                if (_stack.Count != 0 || _marks.Count != 0) throw Fail("values are left over at the end");
                return value;
            }
            if (!Structure(opcode) && !Scalar(opcode)) throw Fail($"opcode 0x{opcode:x2} is not supported: no checkpoint needs it");
            if (_stack.Count > MaxStack || _marks.Count > MaxStack) throw Fail($"the stack is deeper than {MaxStack}");
            if (_memo.Count > MaxMemo) throw Fail($"the memo has more than {MaxMemo} values");
        }
        throw Fail($"has more than {MaxOpcodes} operations");
    }

    // Operations that work on the stack and the memo.
    private bool Structure(byte opcode)
    {
        switch (opcode)
        {
            case 0x80: Protocol(); break;
            case 0x95: Frame(); break;
            case (byte)'(': _marks.Add(_stack.Count); break;
            case (byte)'0': Pop(); break;
            case (byte)'1': PopToMark(); break;
            case (byte)'2': Push(Peek()); break;
            case (byte)'q': Memoize(ReadByte()); break;
            case (byte)'r': Memoize(ReadUInt32()); break;
            case 0x94: Memoize((uint)_memo.Count); break;
            case (byte)'h': Recall(ReadByte()); break;
            case (byte)'j': Recall(ReadUInt32()); break;
            case (byte)'}': Push(new PickleContainer(ContainerKind.Dict, [])); break;
            case (byte)']': Push(new PickleContainer(ContainerKind.List, [])); break;
            case (byte)')': Push(new PickleContainer(ContainerKind.Tuple, [])); break;
            case (byte)'d': PushDict(PopToMark()); break;
            case (byte)'l': Push(new PickleContainer(ContainerKind.List, PopToMark())); break;
            case (byte)'t': Push(new PickleContainer(ContainerKind.Tuple, PopToMark())); break;
            case 0x85 or 0x86 or 0x87: Push(new PickleContainer(ContainerKind.Tuple, PopMany(opcode - 0x84))); break;
            case (byte)'a': Append(PopMany(1)); break;
            case (byte)'e': Append(PopToMark()); break;
            case (byte)'s': SetItems(PopMany(2)); break;
            case (byte)'u': SetItems(PopToMark()); break;
            case (byte)'c': Global(ReadLine(), ReadLine()); break;
            case 0x93: StackGlobal(); break;
            case (byte)'Q': PersistentId(); break;
            case (byte)'R': Reduce(); break;
            case (byte)'b': Build(); break;
            default: return false;
        }
        return true;
    }

    // Operations that push one value.
    private bool Scalar(byte opcode)
    {
        switch (opcode)
        {
            case (byte)'N': Push(null); break;
            case 0x88: Push(true); break;
            case 0x89: Push(false); break;
            case (byte)'J': Push((long)(int)ReadUInt32()); break;
            case (byte)'K': Push((long)ReadByte()); break;
            case (byte)'M': Push((long)BinaryPrimitives.ReadUInt16LittleEndian(Read(2))); break;
            case 0x8a: Push(Integer(Read(ReadByte()))); break;
            case 0x8b: Push(Integer(Read(ReadUInt32()))); break;
            case (byte)'G': Push(BinaryPrimitives.ReadDoubleBigEndian(Read(8))); break;
            case (byte)'X': Push(Text(Read(ReadUInt32()))); break;
            case 0x8c: Push(Text(Read(ReadByte()))); break;
            case 0x8d: Push(Text(Read(ReadUInt64()))); break;
            case (byte)'U': Push(Text(Read(ReadByte()))); break;
            case (byte)'T': Push(Text(Read(ReadUInt32()))); break;
            case (byte)'C': Opaque(ReadByte()); break;
            case (byte)'B': Opaque(ReadUInt32()); break;
            case 0x8e: Opaque(ReadUInt64()); break;
            default: return false;
        }
        return true;
    }

    private void Protocol()
    {
        byte version = ReadByte();
        if (_opcodeAt != 0 || version is < 2 or > 5) throw Fail($"pickle protocol {version}: 2 to 5 are supported");
    }

    // Frames only help a reader to buffer; the length still has to be true.
    private void Frame()
    {
        if (ReadUInt64() > (ulong)(_bytes.Length - _at)) throw Fail("a frame reaches beyond the end: truncated?");
    }

    private readonly void Memoize(uint index) => _memo[index] = Peek();

    private readonly void Recall(uint index)
    {
        if (!_memo.TryGetValue(index, out object? value)) throw Fail($"memo {index} was never stored");
        Push(value);
    }

    private readonly void PushDict(List<object?> items)
    {
        if (items.Count % 2 != 0) throw Fail("a dictionary has a key without a value");
        Push(new PickleContainer(ContainerKind.Dict, items));
    }

    private readonly void Append(List<object?> items)
    {
        if (Peek() is not PickleContainer { Kind: ContainerKind.List } list) throw Fail("appends to something that is not a list");
        list.Items.AddRange(items);
    }

    private readonly void SetItems(List<object?> items)
    {
        if (Peek() is not PickleContainer { Kind: ContainerKind.Dict } dict) throw Fail("sets items of something that is not a dictionary");
        if (items.Count % 2 != 0) throw Fail("a dictionary has a key without a value");
        dict.Items.AddRange(items);
    }

    private readonly void StackGlobal()
    {
        if (PopMany(2) is not [string module, string name]) throw Fail("the name of a global is not text");
        Global(module, name);
    }

    private readonly void Global(string module, string name)
    {
        string full = $"{module}.{name}";
        Push(TorchGlobals.Find(full) ?? throw Refusal.Of(
            _path, $"data.pkl asks for {Refusal.Quote(full)}, which is not part of a checkpoint: refused, and nothing was executed"));
    }

    private readonly void PersistentId() =>
        Push(TorchGlobals.Storage(Pop()) ?? throw Fail("a persistent id is not that of a tensor storage"));

    private readonly void Reduce()
    {
        if (PopMany(2) is not [PickleGlobal function, PickleContainer { Kind: ContainerKind.Tuple } arguments])
        {
            throw Fail("calls something that is not a known global");
        }
        Push(TorchGlobals.Call(function, arguments.Items)
            ?? throw Fail($"calls {function.Name} with arguments that torch.save never writes"));
    }

    // State of an OrderedDict is the _metadata that state_dict() leaves there: of no use here.
    private readonly void Build()
    {
        Pop();
        if (Peek() is not PickleContainer { Kind: ContainerKind.Dict }) throw Fail("gives state to something that is not a dictionary");
    }

    private void Opaque(ulong length)
    {
        Read(length);
        Push(PickleOpaque.Instance);
    }

    // Longer integers exist (seeds), but no size, offset or count is one.
    private static object Integer(ReadOnlySpan<byte> littleEndian)
    {
        if (littleEndian.Length > 8) return PickleOpaque.Instance;
        long value = littleEndian.Length > 0 && (littleEndian[^1] & 0x80) != 0 ? -1 : 0;
        for (int i = littleEndian.Length - 1; i >= 0; i--) value = value << 8 | littleEndian[i];
        return value;
    }

    private readonly string Text(ReadOnlySpan<byte> utf8)
    {
        try
        {
            return s_utf8.GetString(utf8);
        }
        catch (DecoderFallbackException cause)
        {
            throw Refusal.Of(_path, $"data.pkl, byte {_opcodeAt}: a string is not UTF-8", cause);
        }
    }

    private readonly int Floor => _marks.Count > 0 ? _marks[^1] : 0;

    private readonly void Push(object? value) => _stack.Add(value);

    private readonly object? Peek() => _stack.Count > Floor ? _stack[^1] : throw Fail("the stack is empty");

    private readonly object? Pop()
    {
        object? value = Peek();
        _stack.RemoveAt(_stack.Count - 1);
        return value;
    }

    private readonly List<object?> PopMany(int count)
    {
        if (_stack.Count - Floor < count) throw Fail("the stack is empty");
        List<object?> items = _stack.GetRange(_stack.Count - count, count);
        _stack.RemoveRange(_stack.Count - count, count);
        return items;
    }

    private readonly List<object?> PopToMark()
    {
        if (_marks.Count == 0) throw Fail("no mark is on the stack");
        List<object?> items = PopMany(_stack.Count - _marks[^1]);
        _marks.RemoveAt(_marks.Count - 1);
        return items;
    }

    private ReadOnlySpan<byte> Read(ulong count)
    {
        if (count > (ulong)(_bytes.Length - _at)) throw Fail("ends in the middle of a value: truncated?");
        ReadOnlySpan<byte> bytes = _bytes.Slice(_at, (int)count);
        _at += (int)count;
        return bytes;
    }

    private byte ReadByte() => Read(1)[0];

    private uint ReadUInt32() => BinaryPrimitives.ReadUInt32LittleEndian(Read(4));

    private ulong ReadUInt64() => BinaryPrimitives.ReadUInt64LittleEndian(Read(8));

    private string ReadLine()
    {
        int length = _bytes[_at..].IndexOf((byte)'\n');
        if (length < 0) throw Fail("ends in the middle of a name: truncated?");
        string text = Text(Read((ulong)length));
        _at++;
        return text;
    }

    private readonly CheckpointException Fail(string what) => Refusal.Of(_path, $"data.pkl, byte {_opcodeAt}: {what}");
}
