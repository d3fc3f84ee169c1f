// Packed weights on their way to mma (kernels/README.md, "Weights"), a quad at a time: four tiles, 16 rows by 64
// columns. Integers enter the product as they are, exact in halves; the scales of their groups multiply the sums.
#pragma once

#include <type_traits>

#include "warp.cuh"

/// kWeightInt8Mma: int8 in the order of the integer mma. A lane has four neighbouring columns of a tile where mma_f16
/// wants two and two: x is staged in an order that makes up for it (stage_eight, staged_column).
constexpr int kWeightF16 = 0, kWeightInt8 = 1, kWeightInt4 = 2, kWeightInt8Mma = 3, kWeightBF16 = 4;
constexpr int kQuadColumns = 64;

/// Whether a kind has scales: the integers.
template <int Kind>
constexpr bool kWeightScaled = Kind != kWeightF16&& Kind != kWeightBF16;

/// The type of both operands of the mma; integers are widened to f16.
template <int Kind>
using WeightOperand = std::conditional_t<Kind == kWeightBF16, bf16, f16>;

/// 16-byte loads with which a lane has its part of a quad.
template <int Kind>
constexpr int kQuadLoads = !kWeightScaled<Kind>  ? 4
                           : Kind == kWeightInt4 ? 1
                                                 : 2;

/// Where the lane's part of quad `quad` in row tile `row_tile` begins; the following loads lie 32 (a warp) further on.
/// 32 bits of index are 64 GB of weights.
template <int Kind>
DEVICE const u32x4* quad_address(const u32x4* packed, int row_tile, int quads, int quad) {
    return packed + (uint32_t(row_tile * quads + quad) * (kQuadLoads<Kind> * kWarp) + uint32_t(lane_id()));
}

/// The two low bytes, each 128 more than its value, as halves: a byte in the low bits of 1024 is 1024 + byte.
DEVICE uint32_t bytes_to_halves(uint32_t bytes) {
    return sub(f16x2{(bytes & 0xff) | (bytes & 0xff00) << 8 | 0x64006400}, f16x2{0x64806480}).bits;
}

/// The `a` operand of tile 0 to 3 of a quad; integers become halves of the same value.
template <int Kind>
DEVICE void left_operand(uint32_t (&a)[4], const u32x4 (&loads)[kQuadLoads<Kind>], int tile) {
    if constexpr (!kWeightScaled<Kind>) {
        a[0] = loads[tile].x;
        a[1] = loads[tile].y;
        a[2] = loads[tile].z;
        a[3] = loads[tile].w;
    } else if constexpr (Kind == kWeightInt8) {
        const u32x4 v = loads[tile / 2];
        const uint32_t words[2] = {tile % 2 == 0 ? v.x : v.z, tile % 2 == 0 ? v.y : v.w};
#pragma unroll
        for (int i = 0; i < 4; i++) a[i] = bytes_to_halves(words[i / 2] >> (i % 2 * 16));
    } else if constexpr (Kind == kWeightInt8Mma) {
        const u32x4 v = loads[tile / 2];
        const uint32_t rows[2] = {tile % 2 == 0 ? v.x : v.z, tile % 2 == 0 ? v.y : v.w};
#pragma unroll
        for (int i = 0; i < 4; i++) a[i] = bytes_to_halves((rows[i % 2] ^ 0x80808080) >> (i / 2 * 16));
    } else {
        const u32x4 v = loads[0];
        const uint32_t word = tile == 0 ? v.x : tile == 1 ? v.y : tile == 2 ? v.z : v.w;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const uint32_t halves = (word >> (4 * i) & 0x000f000f) | 0x64006400;
            a[i] = sub(f16x2{halves}, f16x2{0x64086408}).bits;
        }
    }
}

/// Where column `column` of x lies in a row of staged operands.
template <int Kind>
DEVICE int staged_column(int column) {
    if constexpr (Kind != kWeightInt8Mma) return column;
    return column / 16 * 16 + column / 2 % 2 * 8 + column % 16 / 4 * 2 + column % 2;
}

/// Stores columns 8 eight … 8 eight + 7 of x in a row of staged operands.
template <int Kind>
DEVICE void stage_eight(unsigned char* row, int eight, u32x4 v) {
    if constexpr (Kind == kWeightInt8Mma) {
        u32x2* tile = reinterpret_cast<u32x2*>(row) + eight / 2 * 4 + eight % 2;
        sts(tile, u32x2{v.x, v.z});
        sts(tile + 2, u32x2{v.y, v.w});
    } else {
        sts(reinterpret_cast<u32x4*>(row) + eight, v);
    }
}

/// The scales of a quad's two halves of 32 columns, each a pair: rows g and g + 8.
struct QuadScales {
    f16x2 half[2];
};

/// Where the scales of a matrix lie: 32, 64 or 128 columns, 32 << shift, share one.
struct ScaleTable {
    const f16x2* scales;
    int shift, groups;

    /// group: 32, 64, 128, or 0 for weights without scales. quads: of a row.
    DEVICE static ScaleTable of(const f16x2* scales, int group, int quads) {
        const int shift = group == 128 ? 2 : group == 64 ? 1 : 0;
        return ScaleTable{scales, shift, ((quads * 2 - 1) >> shift) + 1};
    }

    /// Whether the scales of `quad` are others than those of the quad before it.
    DEVICE bool changes(int quad) const { return shift < 2 || quad % 2 == 0; }

    DEVICE QuadScales load(int row_tile, int quad) const {
        const f16x2* at = scales + (uint32_t(row_tile * groups + (2 * quad >> shift)) * 8 + uint32_t(lane_id() / 4));
        QuadScales result;
        result.half[0] = ldg(at);
        result.half[1] = shift == 0 ? ldg(at + 8) : result.half[0];
        return result;
    }
};

/// sums [16 rows, N * 8 columns] += quad [16, 64] times b. right(n, half, b) gives the right operands of eight columns:
/// b[0], b[1] of tile 2 half, b[2], b[3] of the next.
template <int Kind, int N, typename Right>
DEVICE void multiply_quad(float (&sums)[N][4], const u32x4 (&loads)[kQuadLoads<Kind>], const QuadScales& scales,
                          const Right& right) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
        uint32_t a[2][4];
        left_operand<Kind>(a[0], loads, 2 * half);
        left_operand<Kind>(a[1], loads, 2 * half + 1);
        const f32x2 scale = to_float(scales.half[half]);
#pragma unroll
        for (int n = 0; n < N; n++) {
            uint32_t b[4];
            right(n, half, b);
            const uint32_t first[2] = {b[0], b[1]}, second[2] = {b[2], b[3]};
            if constexpr (!kWeightScaled<Kind>) {
                mma<WeightOperand<Kind>>(sums[n], a[0], first);
                mma<WeightOperand<Kind>>(sums[n], a[1], second);
            } else {
                float part[4] = {0, 0, 0, 0};
                mma_f16(part, a[0], first);
                mma_f16(part, a[1], second);
                sums[n][0] += scale.x * part[0];
                sums[n][1] += scale.x * part[1];
                sums[n][2] += scale.y * part[2];
                sums[n][3] += scale.y * part[3];
            }
        }
    }
}
