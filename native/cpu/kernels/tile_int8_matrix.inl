// The register tile of tile_int8.inl with usmmla: twice the products of usdot in one instruction, for tiles of many
// rows.
//
// usmmla multiplies 2 rows of weights by 2 rows of x, 8 columns each. The words of four columns lie as usdot wants
// them; zipping two steps makes operands of them: 10 zips for the 24 usmmla of 12 rows, which replace 48 usdot. Six
// rows and fewer gain little.
#pragma once

#include "tile_int8_neon.inl"

namespace lsp {
namespace {

// sum [pairs of rows of x][vectors][half]: lanes are weight row 0 x row 0, 0 x 1, 1 x 0, 1 x 1. Eight columns, or four
// where kHalf: those behind them count as zero weights.
template <int MR, bool kWide, bool kHalf>
__attribute__((always_inline)) inline void eight_columns(const uint8_t* bytes, int row, const int8_t* values,
                                                         int32x4_t (&sum)[(MR + 1) / 2][2][2]) {
    Weights first[2], second[2] = {vdupq_n_u8(0), vdupq_n_u8(0)}, w[2][2];
    load_weights<kWide>(bytes, row, first);
    if (!kHalf) load_weights<kWide>(bytes + (kWide ? 128 : 64), row, second);
#pragma GCC unroll 2
    for (int v = 0; v < 2; v++) {
        const uint32x4_t a = vreinterpretq_u32_u8(first[v]), b = vreinterpretq_u32_u8(second[v]);
        w[v][0] = vreinterpretq_u8_u32(vzip1q_u32(a, b));
        w[v][1] = vreinterpretq_u8_u32(vzip2q_u32(a, b));
    }
    int32x4_t a, b;
#pragma GCC unroll 6
    for (int p = 0; p < (MR + 1) / 2; p++) {
        if (p % 2 == 0) {
            // Up to 12 bytes behind the last value, which the scratch memory has: a row that is not there.
            a = vreinterpretq_s32_s8(vld1q_s8(values + 8 * p));
            b = kHalf ? a : vreinterpretq_s32_s8(vld1q_s8(values + 4 * MR + 8 * p));
        }
        const int8x16_t x = vreinterpretq_s8_s32(p % 2 == 0 ? vzip1q_s32(a, b) : vzip2q_s32(a, b));
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++) {
            sum[p][v][0] = vusmmlaq_s32(sum[p][v][0], w[v][0], x);
            sum[p][v][1] = vusmmlaq_s32(sum[p][v][1], w[v][1], x);
        }
    }
}

// As int8_tile.
template <int MR, bool kWide>
void matrix_tile(const uint8_t* w, int64_t columns, int group, const QuantizedRows& x, float* acc) {
    constexpr int kStep = kWide ? 128 : 64;  // bytes of four columns of a panel
    constexpr int kPairs = (MR + 1) / 2;
#pragma GCC unroll 4
    for (int row = 0; row < kPanel; row += 8) {
        const int first = kWide ? row * 4 : row % 16 * 4;
        const uint8_t* block = w;
        const int8_t* values = x.values;
        const float* x_scales = x.scales;
        const int32_t* start = x.start;
        for (int64_t left = columns; left > 0; left -= group) {
            const int64_t here = left < group ? left : group;
            const uint8_t* bytes = block + 2 * kPanel + first;
            int32x4_t sum[kPairs][2][2];
#pragma GCC unroll 6
            for (int p = 0; p < kPairs; p++) {
                sum[p][0][0] = sum[p][0][1] = sum[p][1][0] = sum[p][1][1] = vdupq_n_s32(0);
            }
            for (int64_t steps = here / 8; steps > 0; steps--) {
                eight_columns<MR, kWide, false>(bytes, row, values, sum);
                bytes += 2 * kStep;
                values += 8 * MR;
            }
            if (here % 8 != 0) {
                eight_columns<MR, kWide, true>(bytes, row, values, sum);
                values += 4 * MR;
            }
            const uint16_t* halves = reinterpret_cast<const uint16_t*>(block) + row;
            const F32 scale[2] = {load_f16(halves), load_f16(halves + 4)};
#pragma GCC unroll 12
            for (int i = 0; i < MR; i++) {
#pragma GCC unroll 2
                for (int v = 0; v < 2; v++) {
                    const int32x4_t low = sum[i / 2][v][0], high = sum[i / 2][v][1];
                    const int32x4_t products = i % 2 == 0 ? vuzp1q_s32(low, high) : vuzp2q_s32(low, high);
                    const F32 total = {vcvtq_f32_s32(vaddq_s32(products, vdupq_n_s32(start[i])))};
                    float* out = acc + i * kPanel + row + 4 * v;
                    store(out, fma(total, scale[v] * set1(x_scales[i]), load(out)));
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
