using System.Text;

namespace LlavaSp.Text;

/// <summary>
/// Text to token ids and back, as the slow LlamaTokenizer of transformers 4.37.2 does it over sentencepiece
/// (transformers/models/llama/tokenization_llama.py), both with <c>legacy</c> true and false. Immutable: safe to share between threads.
/// <c>clean_up_tokenization_spaces</c> is not applied (LlamaTokenizer's default).
/// </summary>
public sealed class LlavaTokenizer
{
    private readonly Dictionary<string, int> _addedIds = new(StringComparer.Ordinal);
    private readonly Dictionary<int, AddedToken> _added = [];
    private readonly PrefixSet _addedTexts;
    private readonly HashSet<int> _specialIds = [];
    private readonly HashSet<string> _specialTexts;
    private readonly HashSet<string> _standAlone;
    private readonly string _unknownText;
    private readonly int _unknownLength;
    private readonly int _spaceId;

    private LlavaTokenizer(SentencePieceModel model, TokenizerConfig config)
    {
        Model = model;
        Legacy = config.Legacy;
        AddsBos = config.AddBos;
        AddsEos = config.AddEos;
        foreach (var (id, token) in config.Added)
        {
            _added[id] = token;
            _addedIds[token.Content] = id;
        }
        AddSpecialTokens(config);
        VocabularySize = Math.Max(model.Count, _added.Keys.DefaultIfEmpty(-1).Max() + 1);
        _addedTexts = new PrefixSet(_addedIds.Keys);
        _specialTexts = [.. config.Special.Select(t => t.Content)];
        foreach (string text in _specialTexts) _specialIds.Add(IdOf(text));
        _standAlone = [.. _addedIds.Keys.Except(_specialTexts), .. config.Additional.Where(t => IdOf(t) >= model.Count)];
        BosId = config.Bos is { } bos ? IdOf(bos.Content) : null;
        EosId = config.Eos is { } eos ? IdOf(eos.Content) : null;
        PadId = config.Pad is { } pad ? IdOf(pad.Content) : null;
        _unknownText = config.Unknown?.Content ?? "";
        UnknownId = IdOf(_unknownText);
        _unknownLength = model.Encode(_unknownText, addDummyPrefix: false).Count;
        string space = SentencePieceModel.Space.ToString();
        _spaceId = model.Has(space) ? model.IdOf(space) : -1;
    }

    /// <summary>Id of the token that begins a sequence; null when the tokenizer has none.</summary>
    public int? BosId { get; }

    /// <summary>Id of the token that ends a sequence; null when the tokenizer has none.</summary>
    public int? EosId { get; }

    /// <summary>Id of the padding token; null when the tokenizer has none.</summary>
    public int? PadId { get; }

    /// <summary>Id that stands for what cannot be written.</summary>
    public int UnknownId { get; }

    /// <summary>transformers' <c>legacy</c>: text after a special token gets a space of its own.</summary>
    public bool Legacy { get; }

    /// <summary>Whether <see cref="Encode"/> begins with <see cref="BosId"/>.</summary>
    public bool AddsBos { get; }

    /// <summary>Whether <see cref="Encode"/> ends with <see cref="EosId"/>.</summary>
    public bool AddsEos { get; }

    /// <summary>One more than the highest id that can be decoded.</summary>
    public int VocabularySize { get; }

    /// <summary>Ids that <see cref="Decode"/> leaves out: begin, end, unknown, padding and the like.</summary>
    public IReadOnlySet<int> SpecialIds => _specialIds;

    internal SentencePieceModel Model { get; }

    /// <summary>With legacy false, upstream switches the model's dummy prefix off and puts a space before the text itself.</summary>
    internal bool DummyPrefix => Legacy && Model.AddDummyPrefix;

    /// <summary>
    /// Reads tokenizer.model of a checkpoint's folder and, where they are there, tokenizer_config.json, special_tokens_map.json
    /// and added_tokens.json.
    /// </summary>
    /// <exception cref="CheckpointException">There is no tokenizer.model, or a file is damaged or of an unsupported kind.</exception>
    public static LlavaTokenizer Load(string folder)
    {
        string path = Path.Combine(folder, "tokenizer.model");
        if (!File.Exists(path))
        {
            string found = File.Exists(Path.Combine(folder, "tokenizer.json"))
                ? "has only a tokenizer.json, the fast form, which is not read"
                : "has no tokenizer";
            throw new CheckpointException($"{folder} {found}: put the SentencePiece file tokenizer.model of the base model there");
        }
        TokenizerConfig config = TokenizerConfig.Load(folder);
        if ((config.AddBos && config.Bos is null) || (config.AddEos && config.Eos is null))
            throw new CheckpointException($"{folder}: tokenizer_config.json adds a begin or end token it does not name: set bos_token, eos_token");
        return new LlavaTokenizer(SentencePieceModel.Load(path), config);
    }

    /// <summary>Ids of a text by the bare SentencePiece model: no special tokens, nothing before or after.</summary>
    public int[] EncodePieces(string text) => [.. Model.Encode(text, Model.AddDummyPrefix)];

    /// <summary>
    /// Ids of a text with special tokens recognised in it, <see cref="BosId"/> before it where the tokenizer adds one. Never fails:
    /// half a surrogate pair counts as U+FFFD.
    /// </summary>
    public int[] Encode(string text)
    {
        var ids = new List<int>(text.Length / 2 + 4);
        if (AddsBos) ids.Add(BosId!.Value);
        int start = ids.Count;
        if (Legacy || text.Length == 0)
        {
            AddTokens(text, ids);
        }
        else
        {
            AddTokens(SentencePieceModel.Space + text.Replace(SentencePieceModel.Space, ' '), ids);
            if (ids.Count > start + 1 && ids[start] == _spaceId && _specialIds.Contains(ids[start + 1])) ids.RemoveAt(start);
        }
        if (AddsEos) ids.Add(EosId!.Value);
        return [.. ids];
    }

    /// <summary>The text of one token as the vocabulary has it: <c>▁cat</c>, <c>&lt;0x0A&gt;</c>, <c>&lt;/s&gt;</c>.</summary>
    /// <exception cref="PromptException">There is no such id.</exception>
    public string TokenText(int id)
    {
        if (_added.TryGetValue(id, out AddedToken? token)) return token.Content;
        return Model.Piece(id)
            ?? throw new PromptException($"token id {id} is not in the tokenizer's vocabulary of {VocabularySize}: "
                + "check that the tokenizer belongs to this model");
    }

    /// <summary>Whether an id has a text. A model's vocabulary may be padded beyond its tokenizer's.</summary>
    internal bool Knows(int id) => _added.ContainsKey(id) || Model.Piece(id) is not null;

    /// <summary>Text of a list of ids (transformers' <c>decode</c>).</summary>
    /// <param name="ids">Ids of this tokenizer.</param>
    /// <param name="skipSpecialTokens">Whether <see cref="SpecialIds"/> are left out.</param>
    /// <exception cref="PromptException">An id is not in the vocabulary.</exception>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecialTokens = true)
    {
        var parts = new List<string>();
        var group = new List<string>();
        foreach (int id in ids)
        {
            if (skipSpecialTokens && _specialIds.Contains(id)) continue;
            string token = TokenText(id);
            if (!StandsAlone(token))
            {
                group.Add(token);
                continue;
            }
            if (group.Count > 0 && Join(group) is { Length: > 0 } text) parts.Add(text);
            group.Clear();
            parts.Add(token);
        }
        if (group.Count > 0) parts.Add(Join(group));
        return string.Join(' ', parts);
    }

    /// <summary>An added token without a role: upstream puts spaces around it when decoding.</summary>
    internal bool StandsAlone(string token) => _standAlone.Contains(token);

    /// <summary>The first piece of a text loses the space that <see cref="Encode"/> put before it.</summary>
    internal static string WithoutFirstSpace(string piece) => piece.StartsWith(SentencePieceModel.Space) ? piece[1..] : piece;

    /// <summary>Text of pieces and special tokens (<c>convert_tokens_to_string</c>).</summary>
    private string Join(List<string> tokens)
    {
        var text = new StringBuilder();
        var run = new StringBuilder();
        var decoder = new PieceDecoder(Model, DummyPrefix);
        bool afterSpecial = false;
        for (int i = 0; i < tokens.Count; i++)
        {
            string token = i == 0 ? WithoutFirstSpace(tokens[i]) : tokens[i];
            bool special = _specialTexts.Contains(token);
            if (special)
            {
                decoder.Finish(run);
                if (Legacy && !afterSpecial && i > 0) text.Append(' ');
                text.Append(run).Append(token);
                run.Clear();
            }
            else
            {
                decoder.Append(token, run);
            }
            afterSpecial = special;
        }
        decoder.Finish(run);
        return text.Append(run).ToString();
    }

    /// <summary>Special tokens without an id get that of their piece, or the next free one.</summary>
    private void AddSpecialTokens(TokenizerConfig config)
    {
        int next = Model.Count + _addedIds.Keys.Count(text => !Model.Has(text));
        foreach (AddedToken token in config.Special)
        {
            if (token.Content.Length == 0 || _addedIds.ContainsKey(token.Content)) continue;
            int id = Model.Has(token.Content) ? Model.IdOf(token.Content) : next++;
            _added[id] = token;
            _addedIds[token.Content] = id;
        }
    }

    private int IdOf(string token) => _addedIds.TryGetValue(token, out int id) ? id : Model.IdOf(token);

    /// <summary>Ids of a text in which added tokens stand for themselves (PreTrainedTokenizer.tokenize).</summary>
    private void AddTokens(string text, List<int> ids)
    {
        List<string> parts = SplitAtAddedTokens(text);
        for (int i = 0; i < parts.Count; i++)
        {
            if (!_addedIds.TryGetValue(parts[i], out int id)) continue;
            AddedToken token = _added[id];
            bool hasLeft = i > 0 && parts[i - 1].Length > 0;
            bool hasRight = i + 1 < parts.Count && parts[i + 1].Length > 0;
            char left = hasLeft ? parts[i - 1][^1] : ' ';
            char right = hasRight ? parts[i + 1][0] : ' ';
            if (token.StripRight && hasRight) parts[i + 1] = PythonText.StripStart(parts[i + 1]);
            if (token.StripLeft && hasLeft) parts[i - 1] = PythonText.StripEnd(parts[i - 1]);
            if (!token.SingleWord || (left == ' ' && right == ' ')) continue;
            // part of a longer word after all: upstream looks at the neighbours as they were before stripping
            if (left != ' ') parts[i - 1] += parts[i];
            else parts[i + 1] = parts[i] + parts[i + 1];
            parts[i] = "";
        }
        foreach (string part in parts)
        {
            if (part.Length == 0) continue;
            if (_addedIds.TryGetValue(part, out int id)) ids.Add(id);
            else AddPieces(part, ids);
        }
    }

    private List<string> SplitAtAddedTokens(string text)
    {
        var parts = new List<string>();
        int start = 0;
        for (int at = 0; at < text.Length;)
        {
            string? token = _addedTexts.LongestMatch(text.AsSpan(at));
            if (token is null)
            {
                at++;
                continue;
            }
            if (at > start) parts.Add(text[start..at]);
            parts.Add(token);
            at += token.Length;
            start = at;
        }
        if (start < text.Length) parts.Add(text[start..]);
        return parts;
    }

    /// <summary>
    /// Ids of a part without added tokens (<c>_tokenize</c>): with legacy false a leading space is kept from sentencepiece behind the
    /// text of the unknown token, whose pieces are then taken off again.
    /// </summary>
    private void AddPieces(string text, List<int> ids)
    {
        if (Legacy || text[0] is not (SentencePieceModel.Space or ' '))
        {
            ids.AddRange(Model.Encode(text, DummyPrefix));
            return;
        }
        List<int> pieces = Model.Encode(_unknownText + text, DummyPrefix);
        ids.AddRange(pieces.Skip(pieces.Count >= _unknownLength ? _unknownLength : 0));
    }
}
