namespace LlavaSp.Text;

/// <summary>The placeholder of a picture in prompts and id lists (upstream llava/constants.py, llava/mm_utils.py).</summary>
public static class ImageToken
{
    /// <summary>The id that stands for a picture among token ids.</summary>
    public const int Id = -200;

    /// <summary>The text that stands for a picture in a prompt.</summary>
    public const string Placeholder = "<image>";

    /// <summary>What a question may hold in place of <see cref="Placeholder"/>; run_llava puts the picture there.</summary>
    public const string QuestionPlaceholder = "<image-placeholder>";

    private const string Start = "<im_start>";
    private const string End = "<im_end>";

    /// <summary>How many pictures a prompt asks for.</summary>
    public static int Count(string prompt) => prompt.AsSpan().Count(Placeholder);

    /// <summary>How many pictures an id list asks for.</summary>
    public static int Count(ReadOnlySpan<int> ids) => ids.Count(Id);

    /// <summary>
    /// A question with its pictures, as run_llava asks it: at <see cref="QuestionPlaceholder"/> where the question has one,
    /// else in front, each followed by a line break.
    /// </summary>
    /// <param name="question">The question, without <see cref="Placeholder"/>.</param>
    /// <param name="pictures">Pictures to put in front.</param>
    /// <param name="useStartEnd">The config's <c>mm_use_im_start_end</c>: wraps each picture in &lt;im_start&gt;, &lt;im_end&gt;.</param>
    public static string AddTo(string question, int pictures = 1, bool useStartEnd = false)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(pictures);
        string token = useStartEnd ? Start + Placeholder + End : Placeholder;
        return question.Contains(QuestionPlaceholder, StringComparison.Ordinal)
            ? question.Replace(QuestionPlaceholder, token, StringComparison.Ordinal)
            : string.Concat(Enumerable.Repeat(token + "\n", pictures)) + question;
    }

    /// <summary>
    /// Ids of a prompt, <see cref="Id"/> for each <see cref="Placeholder"/>: every stretch between pictures is encoded by itself
    /// and loses its begin token, which stands once at the front (upstream's <c>tokenizer_image_token</c>).
    /// </summary>
    public static int[] Encode(LlavaTokenizer tokenizer, string prompt)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        var ids = new List<int>();
        int skip = 0;
        string[] stretches = prompt.Split(Placeholder);
        for (int i = 0; i < stretches.Length; i++)
        {
            int[] stretch = tokenizer.Encode(stretches[i]);
            if (i > 0) ids.Add(Id);
            else if (stretch.Length > 0 && stretch[0] == tokenizer.BosId) skip = 1;
            ids.AddRange(stretch.AsSpan(i == 0 ? 0 : Math.Min(skip, stretch.Length)));
        }
        return [.. ids];
    }
}
