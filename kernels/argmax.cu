// Index of the largest of `count` floats, the first of equals, -1 if one of them is NaN, in two steps: every block
// leaves its best as (bits of the value, index), one block chooses among them.
//
// Callers: greedy decoding, once per token; the host then reads 4 bytes instead of the logits.
//
// Case 7B: 32000 floats, 128 KB, 32 blocks: bound by the latency of two launches.
#include "common/ranking.cuh"

namespace argmax {
constexpr int kThreads = 256;
constexpr int kNone = 0x7fffffff;

struct Best {
    float value;
    int index;  // kNone: nothing seen yet; -1: NaN

    DEVICE void take(float other, int at) {
        if (index < 0) return;
        if (at < 0 || other != other) {
            index = -1;
        } else if (index == kNone || other > value || (other == value && at < index)) {
            value = other, index = at;
        }
    }
};

/// The best of the block, in thread 0. Shared memory: one u32x2 per warp.
DEVICE Best of_block(Best best) {
    for (int mask = kWarp / 2; mask > 0; mask /= 2) {
        const float value = shuffle_xor(best.value, mask);
        const int index = shuffle_xor(best.index, mask);
        if (index != kNone) best.take(value, index);
    }
    u32x2* warps = reinterpret_cast<u32x2*>(shared_memory());
    if (lane_id() == 0) sts(warps + warp_id(), u32x2{float_to_bits(best.value), uint32_t(best.index)});
    barrier();
    if (thread_x() == 0) {
        for (int i = 1; i < block_threads() / kWarp; i++) {
            const u32x2 other = lds(warps + i);
            if (int(other.y) != kNone) best.take(bits_to_float(other.x), int(other.y));
        }
    }
    return best;
}
}  // namespace argmax

/// partial: [grid]. Blocks take their pieces of kThreads * 4 floats in turn.
KERNEL(argmax_blocks, argmax::kThreads, 4)(const float* values, u32x2* partial, int count) {
    argmax::Best best{0, argmax::kNone};
    const int step = grid_x() * argmax::kThreads * 4;
    for (int i = (block_x() * argmax::kThreads + thread_x()) * 4; i < count; i += step) {
        ranking::for_each_of_4(values, i, count, [&](float value, int at) { best.take(value, at); });
    }
    best = argmax::of_block(best);
    if (thread_x() == 0) stg(partial + block_x(), u32x2{float_to_bits(best.value), uint32_t(best.index)});
}
REGISTER_KERNEL(argmax_blocks);

/// One block. partial: [blocks]; result: [1].
KERNEL(argmax_result, argmax::kThreads, 1)(const u32x2* partial, int* result, int blocks) {
    argmax::Best best{0, argmax::kNone};
    for (int i = thread_x(); i < blocks; i += block_threads()) {
        const u32x2 other = ldg(partial + i);
        if (int(other.y) != argmax::kNone) best.take(bits_to_float(other.x), int(other.y));
    }
    best = argmax::of_block(best);
    if (thread_x() == 0) stg(result, best.index);
}
REGISTER_KERNEL(argmax_result);
