using System.Globalization;
using Spectre.Console;

namespace LlavaSp.Cli.Output;

/// <summary>A progress bar on standard error while something takes long; nothing where that is not a terminal.</summary>
internal static class ProgressDisplay
{
    /// <summary>Shows how far the loading of a model is.</summary>
    public static T Load<T>(string title, Func<IProgress<LoadProgress>, T> work, CancellationToken cancellationToken)
    {
        if (Console.IsErrorRedirected) return work(new Progress(_ => cancellationToken.ThrowIfCancellationRequested()));
        return Bar(new PercentageColumn()).Start(context =>
        {
            ProgressTask task = context.AddTask(Markup.Escape(title), maxValue: 1);
            return work(new Progress(progress =>
            {
                cancellationToken.ThrowIfCancellationRequested();
                task.Value = progress.Fraction;
            }));
        });
    }

    /// <summary>Shows how many of so many steps are done, and which was the last.</summary>
    public static T Steps<T>(string title, int count, Func<Action<string>, T> work)
    {
        if (Console.IsErrorRedirected) return work(static _ => { });
        return Bar(new PercentageColumn()).Start(context =>
        {
            ProgressTask task = context.AddTask(Markup.Escape(title), maxValue: count);
            return work(step =>
            {
                task.Description = Markup.Escape(step);
                task.Increment(1);
            });
        });
    }

    /// <summary>Shows how many of so many are done, and how long the rest will take.</summary>
    public static void Counted(string title, int count, Action<Action> work)
    {
        if (Console.IsErrorRedirected)
        {
            work(static () => { });
            return;
        }

        Bar(new RemainingTimeColumn()).Start(context =>
        {
            ProgressTask task = context.AddTask(Describe(0), maxValue: count);
            work(() =>
            {
                task.Increment(1);
                task.Description = Describe((int)task.Value);
            });
        });

        string Describe(int done) => Markup.Escape(string.Create(CultureInfo.InvariantCulture, $"{title} {done}/{count}"));
    }

    /// <summary>Shows that work goes on whose length nobody knows.</summary>
    public static async Task<T> BusyAsync<T>(string title, Func<Task<T>> work)
    {
        if (Console.IsErrorRedirected) return await work();
        return await Bar(new ElapsedTimeColumn()).StartAsync(async context =>
        {
            context.AddTask(Markup.Escape(title)).IsIndeterminate = true;
            return await work();
        });
    }

    private static Spectre.Console.Progress Bar(ProgressColumn last) => Consoles.Error.Progress()
        .AutoClear(true)
        .Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), last);

    private sealed class Progress(Action<LoadProgress> report) : IProgress<LoadProgress>
    {
        public void Report(LoadProgress value) => report(value);
    }
}
