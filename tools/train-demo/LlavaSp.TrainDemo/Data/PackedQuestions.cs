using LlavaSp.Text;
using LlavaSp.Worlds.Questions;
using LlavaSp.Worlds.Scenes;

namespace LlavaSp.TrainDemo.Data;

/// <summary>
/// Several questions about one picture behind one prefix: each sees the prefix and itself, and its positions go on from the prefix, so that every
/// one is what the runtime's prompt would be.
/// </summary>
/// <param name="Ids">What follows the picture, all questions one after another.</param>
/// <param name="Positions">Position of each id behind the prefix, from 0 in every question.</param>
/// <param name="Segments">Which question each id belongs to.</param>
/// <param name="Answers">The answers' places.</param>
/// <param name="Gazes">Where positions should look.</param>
/// <param name="Mentions">What nouns name.</param>
internal sealed record PackedQuestions(List<long> Ids, List<long> Positions, List<long> Segments, List<PackedAnswer> Answers, List<Gaze> Gazes, List<Mention> Mentions)
{
    /// <summary>No question.</summary>
    public static PackedQuestions None { get; } = new([], [], [], [], [], []);
}

/// <summary>Where an answer is to be predicted.</summary>
/// <param name="Question">The question.</param>
/// <param name="First">Place in <see cref="PackedQuestions.Ids"/> whose next token is the answer's first.</param>
/// <param name="Tokens">The answer's ids, the end token included.</param>
internal sealed record PackedAnswer(Question Question, int First, long[] Tokens);

/// <summary>Packs questions by the template with which the runtime asks.</summary>
internal sealed class QuestionPacker(LlavaTokenizer tokenizer)
{
    // What the runtime takes for the names of the demo models.
    private const string Template = "llava_v1";

    // A scene has ten questions of existence and few of the families that take longest to learn, which more rounds ask about.
    private static readonly Dictionary<QuestionFamily, int> Most = new()
    {
        [QuestionFamily.Existence] = 3,
        [QuestionFamily.Counting] = 2,
        [QuestionFamily.Attribute] = 4,
        [QuestionFamily.Spatial] = 4,
        [QuestionFamily.Reading] = 3,
        [QuestionFamily.Comparison] = 2,
        [QuestionFamily.Caption] = 1,
    };

    /// <summary>What stands before the picture in every prompt.</summary>
    public long[] Prefix { get; } = [.. Encode(tokenizer, "x", "x").TakeWhile(id => id != ImageToken.Id)];

    /// <summary>Words that answer the same question: the ids of the colours, and those of the shapes.</summary>
    public IReadOnlyList<long[]> Kinds { get; } = [IdsOf(tokenizer, Enum.GetValues<Colour>().Select(Words.Of)), IdsOf(tokenizer, Enum.GetValues<Shape>().Select(Words.Of))];

    /// <summary>Some of a scene's questions, drawn by lot.</summary>
    /// <param name="scene">The scene.</param>
    /// <param name="questions">Its questions.</param>
    /// <param name="random">Draws.</param>
    /// <param name="coloured">Whether its picture shows its colours; else nothing is asked or said of them.</param>
    public PackedQuestions Pack(Scene scene, IReadOnlyList<Question> questions, Random random, bool coloured)
    {
        Question[] mixed = [.. questions.Where(question => coloured || !(NamedObjects.SayColours(question.Text) || NamedObjects.SayColours(question.Answer)))];
        random.Shuffle(mixed);
        return PackAll(scene, [.. mixed.GroupBy(question => question.Family).SelectMany(family => family.Take(Most[family.Key]))], coloured);
    }

    private PackedQuestions PackAll(Scene scene, IReadOnlyList<Question> questions, bool coloured)
    {
        var packed = new PackedQuestions([], [], [], [], [], []);
        for (int segment = 0; segment < questions.Count; segment++)
        {
            Question question = questions[segment];
            long[] asked = BehindPicture(Encode(tokenizer, question.Text, null)), whole = BehindPicture(Encode(tokenizer, question.Text, question.Answer));
            if (!whole.AsSpan().StartsWith(asked)) throw new InvalidOperationException($"the answer changes the question's tokens: {question.Text} {question.Answer}");
            string[] words = [.. whole.Select(id => tokenizer.TokenText((int)id).Trim('\u2581', ' '))];
            packed.Gazes.AddRange(Gaze.Of(words, asked.Length, packed.Ids.Count, scene));
            packed.Mentions.AddRange(Mention.Of(words, packed.Ids.Count, scene, coloured));
            packed.Answers.Add(new PackedAnswer(question, packed.Ids.Count + asked.Length - 1, whole[asked.Length..]));
            for (int i = 0; i < whole.Length - 1; i++)
            {
                packed.Ids.Add(whole[i]);
                packed.Positions.Add(i);
                packed.Segments.Add(segment);
            }
        }

        return packed;
    }

    private static long[] IdsOf(LlavaTokenizer tokenizer, IEnumerable<string> words)
    {
        var ids = Enumerable.Range(0, tokenizer.VocabularySize).GroupBy(tokenizer.TokenText).ToDictionary(group => group.Key, group => (long)group.First());
        return [.. words.Select(word => ids['\u2581' + word])];
    }

    private static long[] BehindPicture(long[] ids) => ids[(Array.IndexOf(ids, (long)ImageToken.Id) + 1)..];

    private static long[] Encode(LlavaTokenizer tokenizer, string question, string? answer) =>
        [.. ImageToken.Encode(tokenizer, ConversationTemplate.Get(Template).BuildPrompt([ImageToken.AddTo(question), answer])).Select(static id => (long)id)];
}
