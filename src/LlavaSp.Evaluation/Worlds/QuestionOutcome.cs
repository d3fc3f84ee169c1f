using LlavaSp.Worlds.Questions;

namespace LlavaSp.Evaluation.Worlds;

/// <summary>What a model made of one question about one scene.</summary>
/// <param name="Scene">Index of the scene.</param>
/// <param name="Family">Family of the question.</param>
/// <param name="Category">Its category.</param>
/// <param name="HeldOut">Whether it is about a combination that training never shows.</param>
/// <param name="Right">Whether the answer is right.</param>
/// <param name="Answer">The answer.</param>
public sealed record QuestionOutcome(int Scene, QuestionFamily Family, string Category, bool HeldOut, bool Right, string Answer)
{
    /// <summary>Grades an answer.</summary>
    public static QuestionOutcome Of(int scene, Question question, string answer)
    {
        ArgumentNullException.ThrowIfNull(question);
        return new QuestionOutcome(scene, question.Family, question.Category, question.InvolvesHeldOut, Grader.IsRight(question, answer), answer);
    }
}
