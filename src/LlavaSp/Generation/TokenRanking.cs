namespace LlavaSp.Generation;

/// <summary>
/// Token ids by falling score, equal scores by id: a heap that gives up one rank after the other, because a sampler seldom looks at more than the first few
/// of a vocabulary. Building it is linear; a rank costs log n once.
/// </summary>
internal sealed class TokenRanking(int vocabulary)
{
    /// <summary>The heap in front; ranks that are known behind it, the first one last.</summary>
    private readonly int[] _ids = new int[vocabulary];
    private float[] _scores = [];
    private int _heap;

    /// <summary>The id of a rank, 0 the best.</summary>
    public int this[int rank]
    {
        get
        {
            while (_ids.Length - _heap <= rank) Next();
            return _ids[_ids.Length - 1 - rank];
        }
    }

    /// <summary>Ranks anew.</summary>
    /// <param name="scores">[vocabulary]; must not change until the next call.</param>
    public void Start(float[] scores)
    {
        _scores = scores;
        _heap = _ids.Length;
        for (int i = 0; i < _ids.Length; i++) _ids[i] = i;
        for (int i = _heap / 2 - 1; i >= 0; i--) Sink(i);
    }

    private void Next()
    {
        _heap--;
        (_ids[0], _ids[_heap]) = (_ids[_heap], _ids[0]);
        Sink(0);
    }

    private void Sink(int parent)
    {
        int id = _ids[parent];
        for (int child = 2 * parent + 1; child < _heap; child = 2 * parent + 1)
        {
            if (child + 1 < _heap && Before(_ids[child + 1], _ids[child])) child++;
            if (!Before(_ids[child], id)) break;
            _ids[parent] = _ids[child];
            parent = child;
        }

        _ids[parent] = id;
    }

    private bool Before(int a, int b) => _scores[a] > _scores[b] || (_scores[a] == _scores[b] && a < b);
}
