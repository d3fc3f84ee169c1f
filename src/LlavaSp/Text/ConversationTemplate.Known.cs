namespace LlavaSp.Text;

/// <summary>A template and why it was chosen.</summary>
/// <param name="Template">The template.</param>
/// <param name="Reason">One line for the log.</param>
public readonly record struct TemplateChoice(ConversationTemplate Template, string Reason);

/// <summary>
/// The templates themselves: upstream's <c>conv_templates</c> less those for text-only Vicuna v0 and the mmtag ones,
/// and the choice by the model's name.
/// </summary>
public sealed partial class ConversationTemplate
{
    private const string HumanSystem = "A chat between a curious human and an artificial intelligence assistant. "
        + "The assistant gives helpful, detailed, and polite answers to the human's questions.";

    private static readonly ConversationTemplate VicunaV1 = new("vicuna_v1", SeparatorStyle.Two,
        "A chat between a curious user and an artificial intelligence assistant. "
        + "The assistant gives helpful, detailed, and polite answers to the user's questions.", "USER", "ASSISTANT", " ", "</s>");

    private static readonly ConversationTemplate LlavaV0 =
        new("llava_v0", SeparatorStyle.Single, HumanSystem, "Human", "Assistant", "###");

    private static readonly ConversationTemplate LlavaV1 =
        new("llava_v1", SeparatorStyle.Two, HumanSystem, "USER", "ASSISTANT", " ", "</s>");

    private static readonly ConversationTemplate Llama2 = new("llama_2", SeparatorStyle.Llama2,
        "You are a helpful, respectful and honest assistant. Always answer as helpfully as possible, while being safe.  "
        + "Your answers should not include any harmful, unethical, racist, sexist, toxic, dangerous, or illegal content. "
        + "Please ensure that your responses are socially unbiased and positive in nature.\n\n"
        + "If a question does not make any sense, or is not factually coherent, explain why instead of answering something not correct. "
        + "If you don't know the answer to a question, please don't share false information.", "USER", "ASSISTANT", "<s>", "</s>");

    private static readonly ConversationTemplate LlavaLlama2 = new("llava_llama_2", SeparatorStyle.Llama2,
        "You are a helpful language and vision assistant. You are able to understand the visual content that the user provides, "
        + "and assist the user with a variety of tasks using natural language.", "USER", "ASSISTANT", "<s>", "</s>");

    private static readonly ConversationTemplate MistralInstruct =
        new("mistral_instruct", SeparatorStyle.Llama2, "", "USER", "ASSISTANT", "", "</s>");

    private static readonly ConversationTemplate ChatMlDirect = new("chatml_direct", SeparatorStyle.Mpt,
        "<|im_start|>system\nAnswer the questions.", "<|im_start|>user\n", "<|im_start|>assistant\n", "<|im_end|>");

    private static readonly ConversationTemplate MptTemplate = new("mpt", SeparatorStyle.Mpt,
        "<|im_start|>system\nA conversation between a user and an LLM-based AI assistant. The assistant gives helpful and honest answers.",
        "<|im_start|>user\n", "<|im_start|>assistant\n", "<|im_end|>");

    private static readonly ConversationTemplate PlainTemplate = new("plain", SeparatorStyle.Plain, "", "", "", "\n");

    private static readonly Dictionary<string, ConversationTemplate> Known = new(StringComparer.Ordinal)
    {
        ["vicuna_v1"] = VicunaV1,
        ["v1"] = VicunaV1,
        ["llava_v1"] = LlavaV1,
        ["llava_v0"] = LlavaV0,
        ["llama_2"] = Llama2,
        ["llava_llama_2"] = LlavaLlama2,
        ["mistral_instruct"] = MistralInstruct,
        ["chatml_direct"] = ChatMlDirect,
        ["mistral_direct"] = ChatMlDirect,
        ["mpt"] = MptTemplate,
        ["plain"] = PlainTemplate,
        ["v0_plain"] = PlainTemplate,
    };

    // run_llava's order: the first that occurs in the model's name wins
    private static readonly (string Part, ConversationTemplate Template)[] ByName =
    [
        ("llama-2", LlavaLlama2),
        ("mistral", MistralInstruct),
        ("v1.6-34b", ChatMlDirect),
        ("v1", LlavaV1),
        ("mpt", MptTemplate),
    ];

    /// <summary>Names that <see cref="Get"/> knows, aliases included.</summary>
    public static IReadOnlyCollection<string> Names => Known.Keys;

    /// <summary>The template of a name.</summary>
    /// <exception cref="LlavaSpException">There is none; the message lists those that there are.</exception>
    public static ConversationTemplate Get(string name) => Known.GetValueOrDefault(name)
        ?? throw new LlavaSpException($"there is no conversation template \"{name}\": choose one of {string.Join(", ", Known.Keys)}");

    /// <summary>
    /// The template that upstream's run_llava takes for a model when none is asked for. A name without a known part gets llava_v0,
    /// as upstream's quick start does; its evaluation scripts ask for vicuna_v1.
    /// </summary>
    /// <param name="name">The model's name: see <see cref="ModelName"/>.</param>
    public static TemplateChoice ForModelName(string name)
    {
        foreach (var (part, template) in ByName)
        {
            if (name.Contains(part, StringComparison.OrdinalIgnoreCase))
                return new TemplateChoice(template, $"the model's name \"{name}\" contains \"{part}\"");
        }
        return new TemplateChoice(LlavaV0, $"the model's name \"{name}\" contains none of {string.Join(", ", ByName.Select(b => b.Part))}");
    }

    /// <summary>
    /// The name of a model in a folder: the last part of the path, with the one before it where that is a training checkpoint
    /// (upstream's <c>get_model_name_from_path</c>).
    /// </summary>
    public static string ModelName(string path)
    {
        string[] parts = path.Split([Path.DirectorySeparatorChar, '/'], StringSplitOptions.RemoveEmptyEntries);
        if (parts.Length == 0) return "";
        return parts[^1].StartsWith("checkpoint-", StringComparison.Ordinal) && parts.Length > 1 ? $"{parts[^2]}_{parts[^1]}" : parts[^1];
    }
}
