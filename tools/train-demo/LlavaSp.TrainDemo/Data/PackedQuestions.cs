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
/// <param name="Never">For each of them the ids that training never shows in its place, whatever the picture shows.</param>
internal sealed record PackedAnswer(Question Question, int First, long[] Tokens, long[][] Never);

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
        [QuestionFamily.Reading] = 4,
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
    /// <param name="colours">The picture's colours: where they are not the world's, nothing is asked or said of them.</param>
    public PackedQuestions Pack(Scene scene, IReadOnlyList<Question> questions, Random random, PictureColours colours)
    {
        Question[] mixed = [.. questions.Where(question => colours.AreSaid || !(NamedObjects.SayColours(question.Text) || NamedObjects.SayColours(question.Answer)))];
        random.Shuffle(mixed);
        return PackAll(scene, [.. mixed.GroupBy(question => question.Family).SelectMany(family => family.Take(Most[family.Key]))], colours);
    }

    private PackedQuestions PackAll(Scene scene, IReadOnlyList<Question> questions, PictureColours colours)
    {
        var packed = new PackedQuestions([], [], [], [], [], []);
        for (int segment = 0; segment < questions.Count; segment++)
        {
            Question question = questions[segment];
            long[] asked = BehindPicture(Encode(tokenizer, question.Text, null)), whole = BehindPicture(Encode(tokenizer, question.Text, question.Answer));
            if (!whole.AsSpan().StartsWith(asked)) throw new InvalidOperationException($"the answer changes the question's tokens: {question.Text} {question.Answer}");
            string[] words = [.. whole.Select(id => tokenizer.TokenText((int)id).Trim('\u2581', ' '))];
            Gaze[] gazes = [.. Gaze.Of(words, asked.Length, packed.Ids.Count, scene, colours)];
            packed.Gazes.AddRange(gazes);
            packed.Mentions.AddRange(Mention.Of(words, packed.Ids.Count, scene, colours));
            int first = packed.Ids.Count + asked.Length - 1;
            long[] tokens = whole[asked.Length..];
            packed.Answers.Add(new PackedAnswer(question, first, tokens, [.. tokens.Select((token, i) => Never(token, gazes.FirstOrDefault(gaze => gaze.Answers && gaze.At == first + i)))]));
            for (int i = 0; i < whole.Length - 1; i++)
            {
                packed.Ids.Add(whole[i]);
                packed.Positions.Add(i);
                packed.Segments.Add(segment);
            }
        }

        return packed;

        // Of a colour or shape that is said of an object, or of several for all of which the same is never shown.
        long[] Never(long token, Gaze? gaze)
        {
            if (gaze is null || gaze.Objects.Length == 0) return [];
            SceneObject[] objects = [.. gaze.Objects.Select(item => scene.Objects[item])];
            int colour = Array.IndexOf(Kinds[0], token), shape = Array.IndexOf(Kinds[1], token);
            if (colour >= 0 && Array.TrueForAll(objects, item => (int)item.Colour == colour)) return Common(Kinds[0], colours.ColoursNeverLike);
            return shape >= 0 && Array.TrueForAll(objects, item => (int)item.Shape == shape) ? Common(Kinds[1], colours.ShapesNeverLike) : [];

            long[] Common(long[] kind, Func<SceneObject, long> never)
            {
                long bits = objects.Aggregate(-1L, (sum, item) => sum & never(item));
                return [.. kind.Where((_, i) => (bits & (1L << i)) != 0)];
            }
        }
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
