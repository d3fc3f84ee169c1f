using LlavaSp.Checkpoints;
using LlavaSp.TrainDemo.Data;
using LlavaSp.TrainDemo.Model;
using TorchSharp;
using static TorchSharp.torch;

namespace LlavaSp.TrainDemo.Training;

/// <summary>Answers to packed questions: their loss, and which are right.</summary>
internal sealed class AnswerLoss(NamedWeights weights, DecoderConfig decoder, LlavaSpNet net, QuestionPacker packer)
{
    private const float Smoothing = 0.1f;

    /// <summary>
    /// Cross-entropy of the answers' tokens, averaged. A token weighs the less the longer its answer is, so that captions do not outweigh everything.
    /// </summary>
    /// <param name="batch">The scenes.</param>
    /// <param name="features">Their patch features.</param>
    /// <param name="taught">Whether attention and nouns are taught as well.</param>
    /// <returns>The loss of the answers, and those of gazes and nouns where they were asked for.</returns>
    public (Tensor Answers, Tensor? Gaze, Tensor? Mentions) Loss(Batch batch, Tensor features, bool taught)
    {
        Tensor images = net.ImageTokens(features);
        long behind = packer.Prefix.Length + images.shape[1], firstPatch = behind - batch.Examples[0].Owners.Count;
        GazeLoss? gaze = taught ? new GazeLoss(batch, firstPatch, behind) : null;
        MentionLoss? mentions = taught ? new MentionLoss(weights, batch, firstPatch, behind) : null;
        Tensor logits = Logits(batch, images, gaze, mentions);
        PackedAnswer[] answers = [.. batch.Examples.SelectMany(example => example.Questions.Answers)];
        Tensor share = tensor(answers.SelectMany(answer => answer.Tokens.Select(_ => (float)(1 / Math.Sqrt(answer.Tokens.Length)))).ToArray());
        return ((Entropy(logits, [.. answers.SelectMany(answer => answer.Tokens)], [.. answers.SelectMany(answer => answer.Never)]) * share).sum() / share.sum(), gaze?.Value, mentions?.Value);
    }

    // [m] of logits [m, vocabulary] and of the ids that are never shown in their places, which are left out of the choice. A colour is to be a little likely
    // in place of each colour, a shape of each shape: else words that training never shows one behind the other are ruled out, whatever the picture shows.
    private Tensor Entropy(Tensor logits, long[] targets, long[][] never)
    {
        using Scalar minus = -1, none = 0, least = float.MinValue;
        var left = new bool[targets.Length, logits.shape[1]];
        for (int i = 0; i < targets.Length; i++)
            foreach (long id in never[i]) left[i, id] = true;
        Tensor leftOut = tensor(left);
        Tensor shares = nn.functional.log_softmax(logits.masked_fill(leftOut, least), -1);
        Tensor loss = shares.gather(1, tensor(targets).unsqueeze(1)).squeeze(1) * minus;
        shares = shares.masked_fill(leftOut, none);
        foreach (long[] kind in packer.Kinds)
        {
            Tensor smoothing = tensor(targets.Select(target => Array.IndexOf(kind, target) >= 0 ? Smoothing : 0).ToArray());
            Tensor spread = tensor(never.Select(ids => -1f / (kind.Length - ids.Count(id => Array.IndexOf(kind, id) >= 0))).ToArray());
            Tensor others = shares.index_select(1, tensor(kind)).sum([1]) * spread;
            loss = loss + (smoothing * (others - loss));
        }

        return loss;
    }

    /// <summary>
    /// For each answer whether each of its tokens is the likeliest behind the right ones before it, which is to say: whether greedy decoding gives it.
    /// </summary>
    public bool[] Right(Batch batch, Tensor features)
    {
        using DisposeScope scope = NewDisposeScope();
        long[] likeliest = Logits(batch, net.ImageTokens(features), null, null).argmax(-1).data<long>().ToArray();
        int at = 0;
        return [.. batch.Examples.SelectMany(example => example.Questions.Answers).Select(answer =>
        {
            at += answer.Tokens.Length;
            return likeliest.AsSpan(at - answer.Tokens.Length, answer.Tokens.Length).SequenceEqual(answer.Tokens);
        })];
    }

    // [all tokens of all answers, vocabulary]: nothing else is predicted.
    private Tensor Logits(Batch batch, Tensor images, GazeLoss? gaze, MentionLoss? mentions)
    {
        long n = images.shape[0], fixedLength = packer.Prefix.Length + images.shape[1];
        Tensor before = Decoder.Embed(weights, tensor(packer.Prefix)).unsqueeze(0).expand(n, -1, -1);
        Tensor x = cat([before, images, Decoder.Embed(weights, batch.Ids)], 1);
        using Scalar behind = fixedLength;
        Tensor positions = cat([tensor(Range(fixedLength)).unsqueeze(0).expand(n, -1), batch.Positions + behind], 1);
        long[][] rows = [.. batch.Examples.Select(example => (long[])[.. example.Questions.Answers.SelectMany(
            answer => answer.Tokens.Select((_, token) => fixedLength + answer.First + token))])];
        int most = rows.Max(row => row.Length);
        // Shorter lists go on with any row, which is then left out.
        Tensor asked = tensor(rows.SelectMany(row => row.Concat(Enumerable.Repeat(fixedLength, most - row.Length))).ToArray(), [n, most]);
        var packing = Packing.Of(fixedLength, batch.Segments, asked);
        Tensor hidden = Decoder.Forward(
            weights, decoder, x, positions, packing, gaze is null ? null : gaze.See, mentions is null ? null : mentions.SeeAttended, mentions is null ? null : mentions.See);
        long[] kept = [.. rows.SelectMany((row, picture) => row.Select((_, i) => (long)((picture * most) + i)))];
        return Decoder.Logits(weights, hidden.flatten(0, 1).index_select(0, tensor(kept)));
    }

    private static long[] Range(long count)
    {
        var range = new long[count];
        for (int i = 0; i < range.Length; i++) range[i] = i;
        return range;
    }
}
