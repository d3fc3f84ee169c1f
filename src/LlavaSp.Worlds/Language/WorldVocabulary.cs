using LlavaSp.Text;
using LlavaSp.Worlds.Questions;
using LlavaSp.Worlds.Scenes;

namespace LlavaSp.Worlds.Language;

/// <summary>The world's vocabulary: bytes, merges learned from its texts and from the conversation template, and printable ASCII.</summary>
public static class WorldVocabulary
{
    /// <summary>The most pieces that the model may have.</summary>
    public const int MostPieces = 1000;

    private const int CorpusScenes = 1000;

    /// <summary>The texts that merges are learned from: questions and answers of the test split too, so that every word is one piece.</summary>
    public static IEnumerable<string> Corpus()
    {
        ConversationTemplate template = ConversationTemplate.Get("vicuna_v1");
        for (int i = 0; i < CorpusScenes; i++)
        {
            foreach (Question question in World.Questions(i % 2 == 0 ? Split.Training : Split.Test, i))
            {
                yield return question.Text;
                yield return question.Answer;
            }

            yield return template.BuildPrompt(["Answer the question using a single word or phrase.", null]);
        }
    }

    /// <summary>The bytes of tokenizer.model.</summary>
    public static byte[] Build()
    {
        string[] characters = [BytePairTrainer.Space.ToString(), .. Enumerable.Range('!', '~' - '!' + 1).Select(c => ((char)c).ToString())];
        int room = MostPieces - SentencePieceFile.Reserved - characters.Length;
        return SentencePieceFile.Write([.. BytePairTrainer.Learn(Corpus(), room), .. characters]);
    }

    /// <summary>Writes tokenizer.model and tokenizer_config.json into a folder.</summary>
    public static void Write(string folder)
    {
        ArgumentNullException.ThrowIfNull(folder);
        Directory.CreateDirectory(folder);
        File.WriteAllBytes(Path.Combine(folder, "tokenizer.model"), Build());
        File.WriteAllText(Path.Combine(folder, "tokenizer_config.json"), """
            {
              "tokenizer_class": "LlamaTokenizer",
              "legacy": false,
              "add_bos_token": true,
              "add_eos_token": false,
              "bos_token": "<s>",
              "eos_token": "</s>",
              "unk_token": "<unk>",
              "pad_token": "<unk>"
            }

            """);
    }
}
