using LlavaSp.Checkpoints;

namespace LlavaSp.Evaluation.Benchmarks;

/// <summary>The questions that an answer file still lacks, and the work of answering them in turn.</summary>
public sealed class BenchmarkRun
{
    private readonly AnswerFile _answers;
    private readonly string _modelId;

    /// <summary>Compares questions with the answers that are there.</summary>
    /// <param name="questions">Questions of this chunk.</param>
    /// <param name="answers">Where their answers go.</param>
    /// <param name="modelId">Name of the model that answers.</param>
    /// <exception cref="BenchmarkException">The answers that are there are another model's, or belong to other questions.</exception>
    public BenchmarkRun(IEnumerable<BenchmarkQuestion> questions, AnswerFile answers, string modelId)
    {
        ArgumentNullException.ThrowIfNull(questions);
        ArgumentNullException.ThrowIfNull(answers);
        _answers = answers;
        _modelId = modelId;
        // MME and TextVQA have several questions of one id, so that only both together tell which one was answered.
        var lines = new Dictionary<(QuestionId, string), Queue<int>>();
        foreach (var (answer, line) in answers.Earlier)
        {
            if (answer.ModelId != modelId)
            {
                throw new BenchmarkException(
                    $"{answers.Path} line {line}: an answer of the model {Refusal.Quote(answer.ModelId)}, and {Refusal.Quote(modelId)} is to answer now: "
                    + "give another --answers file");
            }

            if (!lines.TryGetValue((answer.Id, answer.Prompt), out Queue<int>? same)) lines.Add((answer.Id, answer.Prompt), same = []);
            same.Enqueue(line);
        }

        var pending = new List<BenchmarkQuestion>();
        foreach (BenchmarkQuestion question in questions)
        {
            if (lines.TryGetValue((question.Id, question.Text), out Queue<int>? same) && same.TryDequeue(out _)) Answered++;
            else pending.Add(question);
        }

        Pending = pending;
        foreach (int line in lines.Values.SelectMany(rest => rest))
        {
            throw new BenchmarkException(
                $"{answers.Path} line {line}: no question of this run has this id and prompt: give another --answers file, or the questions and the chunk "
                + "that it was begun with");
        }
    }

    /// <summary>Questions that were answered before.</summary>
    public int Answered { get; }

    /// <summary>Questions to answer, in their order.</summary>
    public IReadOnlyList<BenchmarkQuestion> Pending { get; }

    /// <summary>Answers what is pending, some at a time. Their answers are in the file before the next are asked.</summary>
    /// <param name="answer">Gives the texts for questions.</param>
    /// <param name="batch">Questions at a time.</param>
    /// <param name="onAnswered">Called after each.</param>
    /// <param name="cancellationToken">Stops; the answers at work are dropped.</param>
    public void AnswerAll(
        Func<IReadOnlyList<BenchmarkQuestion>, IReadOnlyList<string>> answer, int batch, Action onAnswered, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(answer);
        ArgumentNullException.ThrowIfNull(onAnswered);
        foreach (BenchmarkQuestion[] questions in Pending.Chunk(batch))
        {
            cancellationToken.ThrowIfCancellationRequested();
            foreach (var (question, text) in questions.Zip(answer(questions)))
            {
                _answers.Append(new BenchmarkAnswer(question.Id, question.Text, text, Guid.NewGuid().ToString("N"), _modelId));
                onAnswered();
            }
        }
    }
}
