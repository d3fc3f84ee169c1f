namespace LlavaSp.Checkpoints;

/// <summary>What a <see cref="PickleContainer"/> is.</summary>
internal enum ContainerKind
{
    /// <summary>dict or OrderedDict: keys and values take turns in the items.</summary>
    Dict,

    /// <summary>list.</summary>
    List,

    /// <summary>tuple or torch.Size.</summary>
    Tuple,
}

/// <summary>A Python container. Compared by identity, as pickles share objects by reference.</summary>
internal sealed class PickleContainer(ContainerKind kind, List<object?> items)
{
    public ContainerKind Kind => kind;

    public List<object?> Items => items;

    /// <summary>Value of a text key; the last one wins, as in Python.</summary>
    public object? this[string key]
    {
        get
        {
            for (int i = Items.Count - 2; i >= 0 && Kind == ContainerKind.Dict; i -= 2)
            {
                if (Items[i] is string text && text == key) return Items[i + 1];
            }
            return null;
        }
    }

    /// <summary>Whether this container can be reached from itself.</summary>
    public bool HasCycle()
    {
        HashSet<PickleContainer> open = [this], done = [];
        Stack<(PickleContainer Container, int Next)> path = new([(this, 0)]);
        while (path.TryPop(out (PickleContainer Container, int Next) step))
        {
            if (step.Next == step.Container.Items.Count)
            {
                open.Remove(step.Container);
                done.Add(step.Container);
                continue;
            }
            path.Push((step.Container, step.Next + 1));
            if (step.Container.Items[step.Next] is not PickleContainer child || done.Contains(child)) continue;
            if (!open.Add(child)) return true;
            path.Push((child, 0));
        }
        return false;
    }
}

/// <summary>A global that the unpickler knows, by its Python name.</summary>
internal sealed record PickleGlobal(string Name);

/// <summary>A value that checkpoints may hold but nobody here looks into: bytes, a device, a long integer.</summary>
internal sealed class PickleOpaque
{
    public static PickleOpaque Instance { get; } = new();

    private PickleOpaque() { }
}

/// <summary>A torch storage: <paramref name="Elements"/> values in the entry <c>data/KEY</c>.</summary>
internal sealed record TorchStorage(DType DType, string Key, long Elements);

/// <summary>A torch tensor: a view on a storage; offset and strides count elements. Nothing is checked yet.</summary>
internal sealed record TorchTensor(TorchStorage Storage, long Offset, long[] Shape, long[] Strides);
