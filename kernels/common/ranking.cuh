// Tokens in the order of their scores, equal ones by id: the rank is one 64-bit key. Reductions over a block of what
// carries such a key, or a sum, beside a narrow number: the same bits in every run.
#pragma once

#include "warp.cuh"

namespace ranking {
/// The best key if a score is NaN: above that of every number.
constexpr uint64_t kNan = ~uint64_t(0);

/// An integer with the order of the numbers; both zeros are one.
DEVICE uint32_t ordered(float score) {
    uint32_t bits = float_to_bits(score);
    if (bits << 1 == 0) bits = 0;
    return bits >> 31 ? ~bits : bits | 0x80000000;
}
DEVICE float from_ordered(uint32_t bits) { return bits_to_float(bits >> 31 ? bits & 0x7fffffff : ~bits); }

/// The better of two tokens has the larger key.
DEVICE uint64_t key_of(float score, int id) { return uint64_t(ordered(score)) << 32 | ~uint32_t(id); }
DEVICE float score_of(uint64_t key) { return from_ordered(uint32_t(key >> 32)); }
DEVICE int id_of(uint64_t key) { return int(~uint32_t(key)); }

/// What a reduction carries: a wide and a narrow number.
struct Pair {
    uint64_t wide;
    uint32_t narrow;
};
struct Sum {
    DEVICE Pair operator()(Pair a, Pair b) const { return Pair{a.wide + b.wide, a.narrow + b.narrow}; }
};
struct Extremes {
    DEVICE Pair operator()(Pair a, Pair b) const { return Pair{maximum(a.wide, b.wide), minimum(a.narrow, b.narrow)}; }
};
struct Or {
    DEVICE Pair operator()(Pair a, Pair b) const { return Pair{a.wide | b.wide, a.narrow | b.narrow}; }
};

DEVICE Pair shuffle_pair(Pair value, int lane) {
    const uint32_t high = shuffle(uint32_t(value.wide >> 32), lane), low = shuffle(uint32_t(value.wide), lane);
    return Pair{uint64_t(high) << 32 | low, shuffle(value.narrow, lane)};
}

/// Scratch of a reduction in shared memory: a u32x4 for each warp.
DEVICE void put(u32x4* scratch, Pair value) {
    sts(scratch, u32x4{uint32_t(value.wide), uint32_t(value.wide >> 32), value.narrow, 0});
}
DEVICE Pair take(const u32x4* scratch) {
    const u32x4 v = lds(scratch);
    return Pair{uint64_t(v.y) << 32 | v.x, v.z};
}

/// The pairs of all threads as one, in every thread. scratch: [Warps], free again after the call.
template <int Warps, typename Combine>
DEVICE Pair reduce(Pair value, u32x4* scratch, Combine combine) {
    for (int mask = kWarp / 2; mask > 0; mask /= 2) value = combine(value, shuffle_pair(value, lane_id() ^ mask));
    if (lane_id() == 0) put(scratch + warp_id(), value);
    barrier();
    value = take(scratch + lane_id() % Warps);
    for (int mask = Warps / 2; mask > 0; mask /= 2) value = combine(value, shuffle_pair(value, lane_id() ^ mask));
    barrier();
    return value;
}

/// Calls use(score, id) for elements i … i + 3 of the scores, i a multiple of 4.
template <typename Use>
DEVICE void for_each_of_4(const float* scores, int i, int vocabulary, const Use& use) {
    const f32x4 v = ldg(reinterpret_cast<const f32x4*>(scores + i));
    use(v.x, i);
    if (i + 1 < vocabulary) use(v.y, i + 1);
    if (i + 2 < vocabulary) use(v.z, i + 2);
    if (i + 3 < vocabulary) use(v.w, i + 3);
}
}  // namespace ranking
