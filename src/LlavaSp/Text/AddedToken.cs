namespace LlavaSp.Text;

/// <summary>
/// A token that stands outside the SentencePiece model: it is found in the text before anything else is split
/// (transformers' AddedToken; <c>normalized</c> means nothing to a slow LlamaTokenizer).
/// </summary>
/// <param name="Content">The text of the token.</param>
/// <param name="StripLeft">Whether it swallows white space on its left (<c>lstrip</c>).</param>
/// <param name="StripRight">Whether it swallows white space on its right (<c>rstrip</c>).</param>
/// <param name="SingleWord">Whether it counts only between spaces.</param>
internal sealed record AddedToken(string Content, bool StripLeft = false, bool StripRight = false, bool SingleWord = false);
