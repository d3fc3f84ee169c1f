// The register tile of tile_int8.inl for aarch64. A byte vector holds four columns of four rows of the weights.
#pragma once

#include "../simd.h"
#include "../weights.h"
#include "quantized_rows.inl"

namespace lsp {
namespace {

// A vector of weights, ready for dot<kLane>(sum, w, x): lane i of sum += four bytes i of w times four bytes kLane of x.
#if LSP_NEON_LEVEL == 3
constexpr bool kSignedWeights = false;  // usdot takes q + offset as it is stored
typedef uint8x16_t Weights;
template <bool kWide>
inline Weights prepare(uint8x16_t stored) {
    return stored;
}
template <int kLane>
inline int32x4_t dot(int32x4_t sum, Weights w, int8x16_t x) {
    return vusdotq_laneq_s32(sum, w, x, kLane);
}
#else
constexpr bool kSignedWeights = true;
typedef int8x16_t Weights;
// int4 stays as it is stored, 0 to 15.
template <bool kWide>
inline Weights prepare(uint8x16_t stored) {
    return vreinterpretq_s8_u8(kWide ? veorq_u8(stored, vdupq_n_u8(128)) : stored);
}
#if LSP_NEON_LEVEL == 2
template <int kLane>
inline int32x4_t dot(int32x4_t sum, Weights w, int8x16_t x) {
    return vdotq_laneq_s32(sum, w, x, kLane);
}
#else
// Pairs of products are added in 16 bits: at most 2 * 128 * 127 = 32512.
template <int kLane>
inline int32x4_t dot(int32x4_t sum, Weights w, int8x16_t x) {
    const int8x16_t four = vreinterpretq_s8_s32(vdupq_laneq_s32(vreinterpretq_s32_s8(x), kLane));
    const int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(four)), high = vmull_high_s8(w, four);
    return vpadalq_s16(sum, vpaddq_s16(low, high));
}
#endif
#endif

// The instructions want the lane as a constant; where `lane` is one, one case is left.
inline int32x4_t dot_lane(int32x4_t sum, Weights w, int8x16_t x, int lane) {
    switch (lane) {
        case 0:
            return dot<0>(sum, w, x);
        case 1:
            return dot<1>(sum, w, x);
        case 2:
            return dot<2>(sum, w, x);
        default:
            return dot<3>(sum, w, x);
    }
}

// The offset of stored weights that the sum of the activations has to take back.
inline int weight_offset(bool wide) { return wide ? (kSignedWeights ? 0 : 128) : 8; }

// Vectors of rows that a tile takes side by side: 24 sums, and the other registers for weights and x. Few rows of x,
// the form bound by memory, take all of a panel, so that it is read in order.
constexpr int tile_vectors(int rows) { return rows <= 2 ? 8 : rows <= 6 ? 4 : 2; }

// Four columns of kVectors vectors of rows, `row` on.
template <bool kWide, int kVectors>
__attribute__((always_inline)) inline void load_weights(const uint8_t* bytes, int row, Weights (&w)[kVectors]) {
    const uint8x16_t nibble = vdupq_n_u8(15);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; v++) {
        if (kWide) {
            w[v] = prepare<kWide>(vld1q_u8(bytes + 16 * v));
        } else {
            const uint8x16_t both = vld1q_u8(bytes + 16 * (v % 4));
            w[v] = prepare<kWide>(row + 4 * v < 16 ? vandq_u8(both, nibble) : vshrq_n_u8(both, 4));
        }
    }
}

// Groups of a panel from w on. columns: of all of them, a multiple of four; group: of all but perhaps the last.
template <int MR, bool kWide>
void int8_tile(const uint8_t* w, int64_t columns, int group, const QuantizedRows& x, float* acc) {
    constexpr int kStep = kWide ? 128 : 64;  // bytes of four columns of a panel
    constexpr int kVectors = tile_vectors(MR);
    // With so few rows the weights come from memory and are used at once.
    constexpr bool kPrefetches = MR <= 2;
    constexpr int kPrefetchBytes = 3072;
#pragma GCC unroll 4
    for (int row = 0; row < kPanel; row += 4 * kVectors) {
        const int first = kWide ? row * 4 : row % 16 * 4;
        const uint8_t* block = w;
        const int8_t* values = x.values;
        const float* x_scales = x.scales;
        const int32_t* start = x.start;
        for (int64_t left = columns; left > 0; left -= group) {
            const int64_t here = left < group ? left : group;
            const uint8_t* bytes = block + 2 * kPanel + first;
            int32x4_t sum[MR][kVectors];
#pragma GCC unroll 12
            for (int i = 0; i < MR; i++) {
#pragma GCC unroll 8
                for (int v = 0; v < kVectors; v++) sum[i][v] = vdupq_n_s32(start[i]);
            }
            if (kPrefetches) prefetch(block + kPrefetchBytes);
            for (int64_t steps = here / 4; steps > 0; steps--) {
                if (kPrefetches) {
                    for (int at = 0; at < kStep; at += 64) prefetch(bytes + kPrefetchBytes + at);
                }
                Weights weights[kVectors];
                load_weights<kWide>(bytes, row, weights);
                int8x16_t fours;
#pragma GCC unroll 12
                for (int i = 0; i < MR; i++) {
                    // Up to 12 bytes behind the last value, which the scratch memory has; those lanes are not used.
                    if (i % 4 == 0) fours = vld1q_s8(values + 4 * i);
#pragma GCC unroll 8
                    for (int v = 0; v < kVectors; v++) sum[i][v] = dot_lane(sum[i][v], weights[v], fours, i % 4);
                }
                bytes += kStep;
                values += 4 * MR;
            }
            F32 scale[kVectors];
#pragma GCC unroll 8
            for (int v = 0; v < kVectors; v++)
                scale[v] = load_f16(reinterpret_cast<const uint16_t*>(block) + row + 4 * v);
#pragma GCC unroll 12
            for (int i = 0; i < MR; i++) {
#pragma GCC unroll 8
                for (int v = 0; v < kVectors; v++) {
                    float* out = acc + i * kPanel + row + 4 * v;
                    const F32 s = scale[v] * set1(x_scales[i]);
                    store(out, fma({vcvtq_f32_s32(sum[i][v])}, s, load(out)));
                }
            }
            block += 2 * kPanel + group / 4 * kStep;
            x_scales += MR;
            start += MR;
        }
    }
}

}  // namespace
}  // namespace lsp
