// The next token: penalties for what the answer has, temperature, top-k, top-p, min-p, then the token at a given point
// of what is left. The same as Generation/Sampler.cs on the host, up to the rounding of the exponential function.
//
// Tokens rank by score, equal ones by id (common/ranking.cuh). Every filter keeps the first tokens of the
// ranking, so what all three keep has the smallest of their three masses, and each is found by the same search: the
// first rank at which a sum over the ranks exceeds a number. The mass of a token is its probability in units of 2^-43
// of the best token's, as an integer: sums are exact, in any order; what has less than one unit is never chosen.
//
//   sample_scores  scores after penalties; the best and the lowest of every block
//   sample_masses  mass and number of tokens in kBins equal ranges of score
//   sample_choose  one block: for each search the range, then its tokens, bit by bit of their keys
//
// Caller: CudaSampler, once per token (greedy with penalties leaves out sample_masses). The host reads 8 bytes.
//
// Case 7B: 32000 logits, 128 KB, read twice by 32 blocks and once per search by one, from the second cache: three
// launches of a few microseconds, bound by latency. A range holds some hundred tokens and they fit into shared memory;
// where they do not (all logits equal), every bit of the search reads all logits again.
#include "common/atomics.cuh"
#include "common/ranking.cuh"
#include "common/rows.cuh"

namespace sampling {
using namespace ranking;

constexpr int kThreads = 256, kTile = 4 * kThreads;
// One thread of sample_choose for each bin.
constexpr int kBins = 1024;
/// Tokens of a range that shared memory holds.
constexpr int kList = 2048;
/// Words of the histogram: masses [kBins], numbers of tokens [kBins], mass of what min-p keeps.
constexpr int kHistogramWords = 2 * kBins + 1;
constexpr float kUnits = 8796093022208.0f;  // 2^43
// e^-30 is less than a unit.
constexpr float kSpan = 30;
// A mass is added up in two parts: those of the tokens of a tile fit into 32 bits.
constexpr int kLowBits = 22;
static_assert(uint64_t(kTile) << kLowBits <= uint64_t(1) << 32);
static_assert(uint64_t(kTile) << (43 - kLowBits) < uint64_t(1) << 32);

/// Best key and lowest score of all blocks of sample_scores. partial: [partials].
template <int Warps>
DEVICE Pair extremes_of(const u32x4* partial, int partials, u32x4* scratch) {
    Pair all{0, ~uint32_t(0)};
    for (int i = thread_x(); i < partials; i += block_threads()) {
        const u32x4 v = ldg(partial + i);
        all = Extremes{}(all, Pair{uint64_t(v.y) << 32 | v.x, v.z});
    }
    return reduce<Warps>(all, scratch, Extremes{});
}

/// Nothing to draw: the best token is certain, or there is none.
DEVICE bool is_certain(uint64_t best) { return best == kNan || !(score_of(best) - score_of(best) == 0); }

/// Probabilities, and the ranges of score.
struct Distribution {
    float best, temperature, bins_per_score;

    DEVICE static Distribution of(Pair extremes, float temperature) {
        const float best = score_of(extremes.wide), lowest = from_ordered(extremes.narrow);
        const float range = minimum(best - lowest, kSpan * temperature);
        return Distribution{best, temperature, range > 0 ? minimum(kBins / range, 3e38f) : 0};
    }

    DEVICE int bin(float score) const {
        const float at = (best - score) * bins_per_score;
        return at < kBins ? int(at) : kBins - 1;
    }

    /// Probability divided by that of the best token.
    DEVICE float probability(float score) const { return expf((score - best) / temperature); }
};
DEVICE uint64_t mass_of(float probability) { return uint64_t(probability * kUnits); }

/// The upper 64 of the 128 bits of a product.
DEVICE uint64_t multiply_high(uint64_t a, uint64_t b) {
    const uint64_t a0 = uint32_t(a), a1 = a >> 32, b0 = uint32_t(b), b1 = b >> 32;
    const uint64_t middle = a1 * b0 + (a0 * b0 >> 32), other = a0 * b1 + uint32_t(middle);
    return a1 * b1 + (middle >> 32) + (other >> 32);
}

DEVICE float penalised(float score, uint32_t count, float repetition, float frequency, float presence) {
    if (count == 0) return score;
    score = score > 0 ? score / repetition : mul(score, repetition);
    return score - (mul(float(count), frequency) + presence);
}

/// Shared memory of sample_choose.
struct Shared {
    static constexpr int kWarps = kBins / kWarp;

    u32x4* scratch;         // [kWarps]
    uint64_t* until;        // [kBins] mass of the bins up to this one
    uint64_t* keys;         // [kList] tokens of a bin
    uint64_t* masses;       // [kList]
    uint64_t* found;        // [2] key and mass of the token that a search ends with
    uint32_t* count_until;  // [kBins]
    uint32_t* listed;       // [1] tokens of the bin
    int* bin;               // [1] where a search leads to

    DEVICE static Shared layout() {
        u32x4* const scratch = reinterpret_cast<u32x4*>(shared_memory());
        uint64_t* const wide = reinterpret_cast<uint64_t*>(scratch + kWarps);
        uint32_t* const narrow = reinterpret_cast<uint32_t*>(wide + kBins + 2 * kList + 2);
        return Shared{scratch,
                      wide,
                      wide + kBins,
                      wide + kBins + kList,
                      wide + kBins + 2 * kList,
                      narrow,
                      narrow + kBins,
                      reinterpret_cast<int*>(narrow + kBins + 1)};
    }

    /// Sums over the bins; all bins in the last one.
    DEVICE void add_up(const uint64_t* histogram) const {
        const int bin = thread_x(), lane = lane_id();
        Pair sum{ldg(histogram + bin), uint32_t(ldg(histogram + kBins + bin))};
        for (int step = 1; step < kWarp; step *= 2) {
            const Pair before = shuffle_pair(sum, maximum(lane - step, 0));
            if (lane >= step) sum = Sum{}(sum, before);
        }
        if (lane == kWarp - 1) put(scratch + warp_id(), sum);
        barrier();
        for (int i = 0; i < warp_id(); i++) sum = Sum{}(sum, take(scratch + i));
        sts(until + bin, sum.wide);
        sts(count_until + bin, sum.narrow);
        barrier();
    }

    DEVICE Pair before(int bin) const {
        return bin == 0 ? Pair{0, 0} : Pair{lds(until + bin - 1), lds(count_until + bin - 1)};
    }
    DEVICE Pair including(int bin) const { return Pair{lds(until + bin), lds(count_until + bin)}; }
};

/// Where a search ends.
struct Rank {
    uint64_t mass;  // of the tokens up to this one
    int id;
};

/// Finds ranks; the whole block takes part.
struct Search {
    const float* scores;  // [vocabulary]
    int vocabulary;
    Distribution distribution;
    Shared shared;
    /// Whose tokens are in the list.
    int listed_bin = -1;

    /// The first rank at which the number of tokens (by_count) or their mass exceeds x, which that of all does.
    DEVICE Rank find(bool by_count, uint64_t x) {
        const auto weight = [by_count](Pair sum) { return by_count ? uint64_t(sum.narrow) : sum.wide; };
        if (weight(shared.before(thread_x())) <= x && x < weight(shared.including(thread_x()))) {
            sts(shared.bin, thread_x());
        }
        barrier();
        const int bin = lds(shared.bin);
        Pair base = shared.before(bin);
        uint32_t left = shared.including(bin).narrow - base.narrow;
        const bool fits = left <= kList;
        if (bin != listed_bin) list(bin);
        listed_bin = bin;

        // Halves what is left at every bit in which keys differ, until one token is.
        const uint64_t first = lds(shared.keys);
        Pair differing{0, 0};
        for_each(bin, fits, [&](uint64_t key, uint64_t) { differing.wide |= key ^ first; });
        differing = reduce<Shared::kWarps>(differing, shared.scratch, Or{});
        uint64_t prefix = first, known = 0;
#pragma unroll 1
        for (int i = 63; i >= 0 && left > 1; i--) {
            const uint64_t bit = uint64_t(1) << i;
            if ((differing.wide & bit) == 0) continue;
            known = ~(bit - 1);
            const uint64_t wanted = (prefix | bit) & known;
            Pair upper{0, 0};
            for_each(bin, fits, [&](uint64_t key, uint64_t mass) {
                if ((key & known) == wanted) upper = Sum{}(upper, Pair{mass, 1});
            });
            upper = reduce<Shared::kWarps>(upper, shared.scratch, Sum{});
            if (x < weight(Sum{}(base, upper))) {
                prefix |= bit;
                left = upper.narrow;
            } else {
                prefix &= ~bit;
                left -= upper.narrow;
                base = Sum{}(base, upper);
            }
        }
        for_each(bin, fits, [&](uint64_t key, uint64_t mass) {
            if ((key & known) != (prefix & known)) return;
            sts(shared.found, key);
            sts(shared.found + 1, mass);
        });
        barrier();
        const Rank rank{base.wide + lds(shared.found + 1), id_of(lds(shared.found))};
        barrier();
        return rank;
    }

  private:
    /// Calls use(key, mass) for the tokens of a bin that this thread has.
    template <typename Use>
    DEVICE void for_each(int bin, bool fits, const Use& use) const {
        if (fits) {
            const int count = int(lds(shared.listed));
            for (int i = thread_x(); i < count; i += kBins) use(lds(shared.keys + i), lds(shared.masses + i));
        } else {
            for_each_of_all(bin, use);
        }
    }

    template <typename Use>
    DEVICE void for_each_of_all(int bin, const Use& use) const {
#pragma unroll 1
        for (int i = 4 * thread_x(); i < vocabulary; i += 4 * kBins) {
            for_each_of_4(scores, i, vocabulary, [&](float score, int id) {
                if (distribution.bin(score) != bin) return;
                const uint64_t mass = mass_of(distribution.probability(score));
                if (mass > 0) use(key_of(score, id), mass);
            });
        }
    }

    /// Copies the tokens of a bin, in any order, as far as they fit.
    DEVICE void list(int bin) const {
        if (thread_x() == 0) sts(shared.listed, uint32_t(0));
        barrier();
        for_each_of_all(bin, [&](uint64_t key, uint64_t mass) {
            const uint32_t at = atomic_add_shared(shared.listed, 1);
            if (at >= kList) return;
            sts(shared.keys + at, key);
            sts(shared.masses + at, mass);
        });
        barrier();
    }
};

/// The token at `point` (0 to 1 in units of 2^-64) of what the filters keep. histogram: as sample_masses left it.
DEVICE int draw(Search& search, const uint64_t* histogram, int top_k, float top_p, float min_p, uint64_t point) {
    search.shared.add_up(histogram);
    const Pair all = search.shared.including(kBins - 1);
    uint64_t kept = all.wide;
    int chosen = 0;
    // One loop, so that the search is compiled once.
    enum { kTopK, kTopP, kPoint, kEnd };
#pragma unroll 1
    for (int filter = kTopK; filter < kEnd; filter++) {
        uint64_t x;
        if (filter == kTopK) {
            if (top_k == 0 || uint32_t(top_k) >= all.narrow) continue;
            x = uint64_t(top_k - 1);
        } else if (filter == kTopP) {
            if (!(top_p < 1)) continue;
            const uint64_t fraction = uint64_t(top_p * 18446744073709551616.0f);  // 2^64
            // The mass must reach the product, rounded up.
            const uint64_t below = multiply_high(kept, fraction), rest = kept * fraction;
            x = rest != 0 || below == 0 ? below : below - 1;
        } else {
            if (min_p > 0) kept = minimum(kept, ldg(histogram + 2 * kBins));
            x = multiply_high(kept, point);
        }
        const Rank rank = search.find(filter == kTopK, x);
        kept = rank.mass;
        chosen = rank.id;
    }
    return chosen;
}
}  // namespace sampling

/// Blocks of kThreads, 4 scores each. logits: [vocabulary], rows of 16-byte multiples; scores: [vocabulary] and counts
/// [vocabulary rounded up to 4], times that a token was chosen, or both null without penalties; partial: [grid];
/// histogram: [kHistogramWords], zero afterwards. Shared memory: kThreads / 32 u32x4.
KERNEL(sample_scores, sampling::kThreads, 4)
(const float* logits, float* scores, const uint32_t* counts, u32x4* partial, uint64_t* histogram, int vocabulary,
 float repetition, float frequency, float presence) {
    const int thread = block_x() * sampling::kThreads + thread_x(), i = 4 * thread;
    for (int word = thread; word < sampling::kHistogramWords; word += grid_x() * sampling::kThreads) {
        stg(histogram + word, uint64_t(0));
    }
    sampling::Pair extremes{0, ~uint32_t(0)};
    if (i < vocabulary) {
        // Zeros behind the last one: the logits' padding may be anything.
        f32x4 v = read_4(logits, i, vocabulary);
        const bool nan_0 = v.x != v.x, nan_1 = v.y != v.y, nan_2 = v.z != v.z, nan_3 = v.w != v.w;
        if (counts) {
            const u32x4 c = ldg(reinterpret_cast<const u32x4*>(counts + i));
            v.x = sampling::penalised(v.x, c.x, repetition, frequency, presence);
            v.y = sampling::penalised(v.y, c.y, repetition, frequency, presence);
            v.z = sampling::penalised(v.z, c.z, repetition, frequency, presence);
            v.w = sampling::penalised(v.w, c.w, repetition, frequency, presence);
            write_4(scores, i, vocabulary, v);
        }
        const float values[4] = {v.x, v.y, v.z, v.w};
        for (int j = 0; j < 4 && i + j < vocabulary; j++) {
            const uint64_t key = sampling::key_of(values[j], i + j);
            extremes = sampling::Extremes{}(extremes, sampling::Pair{key, uint32_t(key >> 32)});
        }
        if (nan_0 || nan_1 || nan_2 || nan_3) extremes.wide = sampling::kNan;
    }
    constexpr int kWarps = sampling::kThreads / kWarp;
    extremes = sampling::reduce<kWarps>(extremes, reinterpret_cast<u32x4*>(shared_memory()), sampling::Extremes{});
    if (thread_x() == 0) {
        stg(partial + block_x(), u32x4{uint32_t(extremes.wide), uint32_t(extremes.wide >> 32), extremes.narrow, 0});
    }
}
REGISTER_KERNEL(sample_scores);

/// As many blocks as partials. scores: [vocabulary]; histogram: [kHistogramWords]. Shared memory: kThreads / 32 u32x4
/// and 3 * kBins words.
KERNEL(sample_masses, sampling::kThreads, 4)
(const float* scores, const u32x4* partial, uint64_t* histogram, int vocabulary, int partials, float temperature,
 float min_p) {
    constexpr int kWarps = sampling::kThreads / kWarp, kBins = sampling::kBins;
    u32x4* const scratch = reinterpret_cast<u32x4*>(shared_memory());
    uint32_t* const low = reinterpret_cast<uint32_t*>(scratch + kWarps);
    uint32_t *const high = low + kBins, *const counts = high + kBins;
    const sampling::Pair extremes = sampling::extremes_of<kWarps>(partial, partials, scratch);
    if (sampling::is_certain(extremes.wide)) return;
    for (int i = thread_x(); i < 3 * kBins; i += sampling::kThreads) sts(low + i, uint32_t(0));
    barrier();

    const sampling::Distribution distribution = sampling::Distribution::of(extremes, temperature);
    sampling::Pair above{0, 0};
    const int i = 4 * (block_x() * sampling::kThreads + thread_x());
    if (i < vocabulary) {
        sampling::for_each_of_4(scores, i, vocabulary, [&](float score, int) {
            const float probability = distribution.probability(score);
            const uint64_t mass = sampling::mass_of(probability);
            if (mass == 0) return;
            const int bin = distribution.bin(score);
            atomic_add_shared(low + bin, uint32_t(mass) & ((1u << sampling::kLowBits) - 1));
            atomic_add_shared(high + bin, uint32_t(mass >> sampling::kLowBits));
            atomic_add_shared(counts + bin, 1);
            if (probability >= min_p) above.wide += mass;
        });
    }
    barrier();
    for (int bin = thread_x(); bin < kBins; bin += sampling::kThreads) {
        const uint32_t count = lds(counts + bin);
        if (count == 0) continue;
        atomic_add_global(histogram + bin, (uint64_t(lds(high + bin)) << sampling::kLowBits) + lds(low + bin));
        atomic_add_global(histogram + kBins + bin, count);
    }
    if (min_p > 0) {
        above = sampling::reduce<kWarps>(above, scratch, sampling::Sum{});
        if (thread_x() == 0) atomic_add_global(histogram + 2 * kBins, above.wide);
    }
}
REGISTER_KERNEL(sample_masses);

/// One block of kBins threads. scores: [vocabulary]; histogram: [kHistogramWords]; counts: [vocabulary] or null;
/// result: id, or -1 for NaN, and whether the point mattered. temperature 0 is greedy. The point is 0 to 1 in units of
/// 2^-64.
KERNEL(sample_choose, sampling::kBins, 1)
(const float* scores, const u32x4* partial, const uint64_t* histogram, uint32_t* counts, u32x2* result, int vocabulary,
 int partials, float temperature, int top_k, float top_p, float min_p, uint32_t point_low, uint32_t point_high) {
    const sampling::Shared shared = sampling::Shared::layout();
    const sampling::Pair extremes = sampling::extremes_of<sampling::Shared::kWarps>(partial, partials, shared.scratch);
    const bool drawn = temperature > 0 && !sampling::is_certain(extremes.wide);
    int chosen = extremes.wide == sampling::kNan ? -1 : sampling::id_of(extremes.wide);
    if (drawn) {
        sampling::Search search{scores, vocabulary, sampling::Distribution::of(extremes, temperature), shared};
        chosen = sampling::draw(search, histogram, top_k, top_p, min_p, uint64_t(point_high) << 32 | point_low);
    }
    if (thread_x() != 0) return;
    stg(result, u32x2{uint32_t(chosen), uint32_t(drawn)});
    if (counts && chosen >= 0) stg(counts + chosen, ldg_mutable(counts + chosen) + 1);
}
REGISTER_KERNEL(sample_choose);
