// Integer products with the tile registers of AMX: sixteen rows of x times a panel of weights. The sums of a group are
// integers and are scaled as in tile_int8_x86.inl, so the results are the same bits.
#pragma once

#include <string.h>

#include "../simd.h"
#include "../weights.h"
#include "quantized_rows.inl"
#include "tile_int8_x86.inl"

namespace lsp {
namespace {

constexpr int kMatrixRows = 16;
// Fewer rows are bound by the bandwidth of the weights, which the register tiles reach.
constexpr int64_t kFewRows = 4;
// What a load of sixteen rows may read behind the last row of x.
constexpr int64_t kMatrixSlack = kMatrixRows * 128;

// g++ 12's intrinsics do not say that they read and write memory.
#define LSP_TILE_LOAD(tile, base, stride) \
    asm volatile("tileloadd (%0,%1,1), %%tmm" #tile : : "r"(base), "r"(int64_t{stride}) : "memory")
#define LSP_TILE_STORE(tile, base, stride) \
    asm volatile("tilestored %%tmm" #tile ", (%0,%1,1)" : : "r"(base), "r"(int64_t{stride}) : "memory")
#define LSP_TILE_ZERO(tile) asm volatile("tilezero %%tmm" #tile ::)
// sum [16, 16] += x [16, step] (signed) * w [step / 4, 16, 4] (unsigned).
#define LSP_TILE_PRODUCT(sum, x, w) asm volatile("tdpbsud %%tmm" #w ", %%tmm" #x ", %%tmm" #sum ::)

struct TileConfig {
    uint8_t palette;
    uint8_t start_row;
    uint8_t reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

// Of one product: groups of 32 have no more.
inline int64_t matrix_step(int group) { return group < 64 ? group : 64; }

// 0 to 3: sums; 4, 5: x [16, step]; 6, 7: weights [step / 4, 16, 4]. For this thread until release_tiles.
inline void configure_tiles(int64_t step) {
    TileConfig config = {};
    config.palette = 1;
    for (int i = 0; i < 4; i++) config.row_bytes[i] = 64, config.rows[i] = 16;
    for (int i = 4; i < 6; i++) config.row_bytes[i] = static_cast<uint16_t>(step), config.rows[i] = 16;
    for (int i = 6; i < 8; i++) config.row_bytes[i] = 64, config.rows[i] = static_cast<uint8_t>(step / 4);
    asm volatile("ldtilecfg %0" : : "m"(config));
}

inline void release_tiles() { asm volatile("tilerelease" ::); }

// Groups of a panel: scales [groups][32] halves `group_bytes` apart, values [groups][group / 4][32][4] `value_bytes`
// apart.
struct MatrixWeights {
    const uint8_t* scales;
    int64_t group_bytes;
    const uint8_t* values;
    int64_t value_bytes;
};

// Tiles 0 and 1 += x * the two halves of the panel, for less than a step of columns.
inline void matrix_rest(const uint8_t* weights, int64_t count, const int8_t* x, int64_t stride, int64_t rows) {
    alignas(64) int8_t left[kMatrixRows * 64] = {};
    alignas(64) uint8_t right[16 * 128] = {};
    for (int64_t i = 0; i < rows; i++) memcpy(left + i * 64, x + i * stride, static_cast<size_t>(count));
    memcpy(right, weights, static_cast<size_t>(count * kPanel));
    LSP_TILE_LOAD(4, left, 64);
    LSP_TILE_LOAD(6, right, 128);
    LSP_TILE_LOAD(7, right + 64, 128);
    LSP_TILE_PRODUCT(0, 4, 6);
    LSP_TILE_PRODUCT(1, 4, 7);
}

// acc [rows, 32] += x * w. x: values of a group [rows][columns of the group]; columns: of all groups, a multiple of
// four.
void matrix_tile(const MatrixWeights& weights, int64_t columns, int group, const QuantizedRows& x, int64_t rows,
                 float* acc) {
    alignas(64) int32_t sums[2][kMatrixRows * 16];
    const int64_t step = matrix_step(group);
    MatrixWeights w = weights;
    const int8_t* values = x.values;
    const float* x_scales = x.scales;
    const int32_t* start = x.start;
    for (int64_t left = columns; left > 0; left -= group) {
        const int64_t here = left < group ? left : group;
        LSP_TILE_ZERO(0);
        LSP_TILE_ZERO(1);
        int64_t at = 0;
        for (; at + step <= here; at += step) {
            LSP_TILE_LOAD(4, values + at, here);
            LSP_TILE_LOAD(6, w.values + at * kPanel, 128);
            LSP_TILE_LOAD(7, w.values + at * kPanel + 64, 128);
            LSP_TILE_PRODUCT(0, 4, 6);
            LSP_TILE_PRODUCT(1, 4, 7);
        }
        if (at < here) matrix_rest(w.values + at * kPanel, here - at, values + at, here, rows);
        LSP_TILE_STORE(0, sums[0], 64);
        LSP_TILE_STORE(1, sums[1], 64);
        const F32 s0 = load_f16(reinterpret_cast<const uint16_t*>(w.scales));
        const F32 s1 = load_f16(reinterpret_cast<const uint16_t*>(w.scales) + kWidth);
        for (int64_t i = 0; i < rows; i++) {
            const F32 scale = set1(x_scales[i]);
            const I32 first = set1_words(start[i]);
            const I32 a = add_words(_mm512_load_si512(sums[0] + i * 16), first);
            const I32 b = add_words(_mm512_load_si512(sums[1] + i * 16), first);
            float* out = acc + i * kPanel;
            store(out, fma(to_float(a), s0 * scale, load(out)));
            store(out + kWidth, fma(to_float(b), s1 * scale, load(out + kWidth)));
        }
        w.scales += w.group_bytes;
        w.values += w.value_bytes;
        values += group * rows;
        x_scales += rows;
        start += rows;
    }
}

// Groups of int4 weights, one byte for each: from [groups][group / 4][16][4], two rows of a panel in a byte.
inline void unpack_nibbles(const uint8_t* blocks, int64_t group_bytes, int64_t columns, int group, uint8_t* out) {
    for (int64_t left = columns; left > 0; left -= group) {
        const int64_t steps = (left < group ? left : group) / 4;
        for (int64_t s = 0; s < steps; s++) {
            const I32 both = load_bytes(blocks + 2 * kPanel + s * 64);
            _mm512_store_si512(out + s * 128, low_nibbles(both));
            _mm512_store_si512(out + s * 128 + 64, high_nibbles(both));
        }
        blocks += group_bytes;
        out += group * kPanel;
    }
}

}  // namespace
}  // namespace lsp
