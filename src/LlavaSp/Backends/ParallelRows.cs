namespace LlavaSp.Backends;

/// <summary>Parallel loops whose exceptions arrive as they were thrown.</summary>
internal static class ParallelRows
{
    /// <summary>Runs <paramref name="body"/> for 0 … count - 1 on several threads.</summary>
    public static void For(int count, Action<int> body) => Unwrapped(() => Parallel.For(0, count, body));

    /// <summary>Runs <paramref name="body"/> with a scratch object per thread.</summary>
    public static void For<T>(int count, Func<T> scratch, Action<int, T> body) => Unwrapped(() => Parallel.For(0, count, scratch, (i, _, local) =>
    {
        body(i, local);
        return local;
    }, static _ => { }));

    private static void Unwrapped(Action loop)
    {
        try
        {
            loop();
        }
        catch (AggregateException e)
        {
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(e.Flatten().InnerExceptions[0]);
        }
    }
}
