using LlavaSp.Text;

namespace LlavaSp.Cli.Running;

/// <summary>Questions with their pictures.</summary>
internal static class Question
{
    /// <summary>
    /// A question with its placeholders: those that it has itself, else one for each picture, put in as run_llava does.
    /// </summary>
    /// <param name="text">The question.</param>
    /// <param name="pictures">Pictures that belong to it.</param>
    /// <param name="useStartEnd">The config's <c>mm_use_im_start_end</c>.</param>
    /// <exception cref="PromptException">It has placeholders, but not one for each picture.</exception>
    public static string WithPictures(string text, int pictures, bool useStartEnd = false)
    {
        string question = ImageToken.Count(text) > 0 ? text : ImageToken.AddTo(text, pictures, useStartEnd);
        int placeholders = ImageToken.Count(question);
        return placeholders == pictures
            ? question
            : throw new PromptException(
                $"the prompt has {placeholders} <image> placeholder(s) for {pictures} picture(s): write one <image> for each picture, or none for all");
    }
}
