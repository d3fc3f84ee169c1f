using System.Text;
using Google.Protobuf;

namespace LlavaSp.Text;

/// <summary>What a piece of a SentencePiece model is (sentencepiece_model.proto, <c>SentencePiece.Type</c>).</summary>
internal enum PieceType
{
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

/// <summary>
/// A SentencePiece BPE model as Llama's tokenizer.model holds it: pieces, scores and the normaliser's switches. Models with
/// a character map (NFKC and the like), Unigram models and suffix-marked whitespace are refused: no LLaVA checkpoint has them.
/// </summary>
internal sealed partial class SentencePieceModel
{
    /// <summary>U+2581, the mark that stands for a space inside pieces.</summary>
    internal const char Space = '\u2581';

    private const int MaxFileBytes = 64 << 20;
    private const int MaxPieces = 1 << 20;

    private static readonly UTF8Encoding StrictUtf8 = new(false, throwOnInvalidBytes: true);

    private readonly List<string> _pieces = [];
    private readonly List<float> _scores = [];
    private readonly List<PieceType> _types = [];
    private readonly Dictionary<string, int> _ids = new(StringComparer.Ordinal);
    private readonly int[] _byteIds = new int[256];
    private readonly PrefixSet _userDefined;
    private readonly int _longestPiece;

    private bool _escapeWhitespace = true;
    private bool _byteFallback;
    private int _modelType = 1;
    private bool _hasCharacterMap;
    private bool _spaceIsSuffix;

    private SentencePieceModel(byte[] file)
    {
        ReadModel(new CodedInputStream(file));
        if (_pieces.Count == 0) throw new FormatException("it has no pieces");
        if (_modelType != 2) throw new FormatException($"its model type is {TypeName(_modelType)}; only BPE models are supported");
        if (_hasCharacterMap) throw new FormatException("its normaliser has a character map; only models without one are supported");
        if (_spaceIsSuffix) throw new FormatException("it marks spaces as suffixes, which is not supported");
        Array.Fill(_byteIds, -1);
        UnknownId = -1;
        for (int id = 0; id < _pieces.Count; id++)
        {
            Index(id);
            if (_types[id] is PieceType.Normal or PieceType.UserDefined) _longestPiece = Math.Max(_longestPiece, _pieces[id].Length);
        }
        _userDefined = new PrefixSet(_pieces.Where((_, id) => _types[id] == PieceType.UserDefined));
        if (UnknownId < 0) throw new FormatException("it has no unknown piece");
        if (_byteFallback && _byteIds.Contains(-1))
            throw new FormatException("it falls back to bytes but lacks some of the 256 byte pieces");
    }

    /// <summary>Pieces of the model; ids run from 0.</summary>
    public int Count => _pieces.Count;

    /// <summary>Id of the piece that stands for what the model cannot write.</summary>
    public int UnknownId { get; private set; }

    /// <summary>Whether the normaliser puts a space before the text.</summary>
    public bool AddDummyPrefix { get; private set; } = true;

    /// <summary>Whether the normaliser drops leading and trailing spaces and joins runs of them.</summary>
    public bool RemoveExtraWhitespace { get; private set; } = true;

    /// <summary>What a decoded unknown piece looks like.</summary>
    public string UnknownSurface { get; private set; } = " \u2047 ";

    /// <summary>Reads a tokenizer.model.</summary>
    /// <exception cref="CheckpointException">The file cannot be read, is damaged, or is a kind of model that is not supported.</exception>
    public static SentencePieceModel Load(string path)
    {
        try
        {
            var info = new FileInfo(path);
            if (info.Length > MaxFileBytes) throw new FormatException($"it has {info.Length} bytes, more than the {MaxFileBytes} allowed");
            return new SentencePieceModel(File.ReadAllBytes(path));
        }
        catch (Exception e) when (e is FormatException or InvalidProtocolBufferException or ArgumentException or IOException
            or UnauthorizedAccessException)
        {
            throw new CheckpointException($"{path} is not a usable SentencePiece model: {e.Message.ReplaceLineEndings(" ")}", e);
        }
    }

    /// <summary>The text of a piece as the model stores it; null when there is no such id.</summary>
    public string? Piece(int id) => (uint)id < (uint)_pieces.Count ? _pieces[id] : null;

    /// <summary>The kind of a piece.</summary>
    public PieceType Type(int id) => _types[id];

    /// <summary>The id of a piece, <see cref="UnknownId"/> when the model does not have it.</summary>
    public int IdOf(string piece) => _ids.TryGetValue(piece, out int id) ? id : UnknownId;

    /// <summary>Whether the model has this piece.</summary>
    public bool Has(string piece) => _ids.ContainsKey(piece);

    /// <summary>The value of a byte piece, <c>&lt;0x0A&gt;</c>.</summary>
    public byte ByteValue(int id) => (byte)Array.IndexOf(_byteIds, id);

    private static string TypeName(int type) => type switch { 1 => "Unigram", 3 => "word", 4 => "character", _ => $"{type}" };

    private void Index(int id)
    {
        string piece = _pieces[id];
        if (piece.Length == 0) throw new FormatException($"piece {id} is empty");
        if (!_ids.TryAdd(piece, id)) throw new FormatException($"pieces {_ids[piece]} and {id} are the same");
        if (!float.IsFinite(_scores[id])) throw new FormatException($"the score of piece {id} is not a finite number");
        switch (_types[id])
        {
            case PieceType.Normal or PieceType.UserDefined or PieceType.Control:
                break;
            case PieceType.Unknown when UnknownId < 0:
                UnknownId = id;
                break;
            case PieceType.Unknown:
                throw new FormatException($"pieces {UnknownId} and {id} are both the unknown piece");
            case PieceType.Byte when !_byteFallback:
                throw new FormatException($"piece {id} is a byte, but the model does not fall back to bytes");
            case PieceType.Byte when piece.Length == 6 && piece.StartsWith("<0x", StringComparison.Ordinal) && piece[5] == '>'
                && byte.TryParse(piece.AsSpan(3, 2), System.Globalization.NumberStyles.AllowHexSpecifier, null, out byte value):
                _byteIds[value] = id;
                break;
            case PieceType.Byte:
                throw new FormatException($"piece {id} is a byte but is not written <0xNN>");
            default:
                throw new FormatException($"piece {id} has the type {_types[id]}, which is not supported");
        }
    }

    private void ReadModel(CodedInputStream model)
    {
        while (model.ReadTag() is uint tag and not 0)
        {
            switch (tag)
            {
                case 1 << 3 | 2:
                    if (_pieces.Count == MaxPieces) throw new FormatException($"it has more than the {MaxPieces} pieces allowed");
                    ReadPiece(Nested(model));
                    break;
                case 2 << 3 | 2:
                    ReadTrainer(Nested(model));
                    break;
                case 3 << 3 | 2:
                    ReadNormalizer(Nested(model));
                    break;
                case 5 << 3 | 2:
                    ReadDenormalizer(Nested(model));
                    break;
                default:
                    model.SkipLastField();
                    break;
            }
        }
    }

    private void ReadPiece(CodedInputStream piece)
    {
        string text = "";
        float score = 0;
        var type = PieceType.Normal;
        while (piece.ReadTag() is uint tag and not 0)
        {
            switch (tag)
            {
                case 1 << 3 | 2: text = StrictUtf8.GetString(piece.ReadBytes().Span); break;
                case 2 << 3 | 5: score = piece.ReadFloat(); break;
                case 3 << 3 | 0: type = (PieceType)piece.ReadEnum(); break;
                default: piece.SkipLastField(); break;
            }
        }
        _pieces.Add(text);
        _scores.Add(score);
        _types.Add(type);
    }

    private void ReadTrainer(CodedInputStream trainer)
    {
        while (trainer.ReadTag() is uint tag and not 0)
        {
            switch (tag)
            {
                case 3 << 3 | 0: _modelType = trainer.ReadEnum(); break;
                case 24 << 3 | 0: _spaceIsSuffix = trainer.ReadBool(); break;
                case 35 << 3 | 0: _byteFallback = trainer.ReadBool(); break;
                case 44 << 3 | 2: UnknownSurface = StrictUtf8.GetString(trainer.ReadBytes().Span); break;
                default: trainer.SkipLastField(); break;
            }
        }
    }

    private void ReadNormalizer(CodedInputStream normalizer)
    {
        while (normalizer.ReadTag() is uint tag and not 0)
        {
            switch (tag)
            {
                case 2 << 3 | 2: _hasCharacterMap |= normalizer.ReadBytes().Length > 0; break;
                case 3 << 3 | 0: AddDummyPrefix = normalizer.ReadBool(); break;
                case 4 << 3 | 0: RemoveExtraWhitespace = normalizer.ReadBool(); break;
                case 5 << 3 | 0: _escapeWhitespace = normalizer.ReadBool(); break;
                default: normalizer.SkipLastField(); break;
            }
        }
    }

    private void ReadDenormalizer(CodedInputStream denormalizer)
    {
        while (denormalizer.ReadTag() is uint tag and not 0)
        {
            if (tag == (2 << 3 | 2)) _hasCharacterMap |= denormalizer.ReadBytes().Length > 0;
            else denormalizer.SkipLastField();
        }
    }

    private static CodedInputStream Nested(CodedInputStream stream) => stream.ReadBytes().CreateCodedInput();
}
