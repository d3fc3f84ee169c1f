namespace LlavaSp.Worlds.Questions;

/// <summary>What a question is about.</summary>
public enum QuestionFamily
{
    /// <summary>Whether something is there.</summary>
    Existence,

    /// <summary>How many there are.</summary>
    Counting,

    /// <summary>Colour, shape, size or texture of one object.</summary>
    Attribute,

    /// <summary>Where objects are to each other.</summary>
    Spatial,

    /// <summary>What is written.</summary>
    Reading,

    /// <summary>Bigger, or more.</summary>
    Comparison,

    /// <summary>All objects from left to right.</summary>
    Caption,
}

/// <summary>A question with its only right answer.</summary>
/// <param name="Family">What it is about.</param>
/// <param name="Category">Finer: <c>adversarial</c>, <c>colour</c>, <c>nearest</c>.</param>
/// <param name="Text">The question.</param>
/// <param name="Answer">The answer, in its one canonical form.</param>
/// <param name="InvolvesHeldOut">Whether it names, or is about, a combination that training never shows.</param>
public sealed record Question(QuestionFamily Family, string Category, string Text, string Answer, bool InvolvesHeldOut);
