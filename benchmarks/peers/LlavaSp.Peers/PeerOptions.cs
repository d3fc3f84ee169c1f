namespace LlavaSp.Peers;

/// <summary>A peer cannot be had or does not work: the reason, in one line.</summary>
internal sealed class PeerException(string message) : Exception(message);

/// <summary>How peers are measured.</summary>
/// <param name="WorkFolder">For files with random weights, reused between runs.</param>
/// <param name="Quick">Two layers, one run: whether everything works, not how fast.</param>
internal sealed record PeerOptions(string WorkFolder, bool Quick)
{
    /// <summary>Runs in one process after one to warm up, where a run takes seconds.</summary>
    public int Runs => Quick ? 1 : 3;

    /// <summary>The folder of llama.cpp's libraries, which the run script unpacked.</summary>
    public string LlamaLibraries()
    {
        string root = Path.Combine(WorkFolder, "llama.cpp");
        string? library = Directory.Exists(root) ? Directory.EnumerateFiles(root, "libllama.*so", SearchOption.AllDirectories).FirstOrDefault() : null;
        return Path.GetDirectoryName(library) ?? throw new PeerException("its package could not be fetched");
    }
}
