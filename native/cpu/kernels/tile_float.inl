// Register tiles with float32 multiply-adds: acc [MR, 32] += x [MR, k] * w [k, 32].
#pragma once

#include "../kernels.h"
#include "../simd.h"
#include "../weights.h"
#if LSP_NEON_LEVEL > 0
#include "tile_float_neon.inl"
#else
#include "tile_float_pairs.inl"
#endif

namespace lsp {
namespace {

// Rows of x in a register tile: two vectors of weights, kRows x 2 accumulators and a broadcast fill the registers.
constexpr int kRows = LSP_VECTOR_REGISTERS == 32 ? 12 : 6;

template <typename From>
using FloatTile = void (*)(const typename From::Element*, int64_t, const float*, float*);

template <typename From>
constexpr FloatTile<From> kFloatTiles[] = {
    float_tile<1, From>,  float_tile<2, From>,  float_tile<3, From>,
    float_tile<4, From>,  float_tile<5, From>,  float_tile<6, From>,
#if LSP_VECTOR_REGISTERS == 32
    float_tile<7, From>,  float_tile<8, From>,  float_tile<9, From>,
    float_tile<10, From>, float_tile<11, From>, float_tile<12, From>,
#endif
};

// Columns first ... first + count - 1 of a panel as float32 [count][32]; first is a multiple of the group size.
void unpack_tile(const lsp_weight& weight, const uint8_t* panel, int64_t first, int64_t count, float* out) {
    if (weight.group == 0) {
        const uint16_t* source = reinterpret_cast<const uint16_t*>(panel) + first * kPanel;
        const bool half = weight.format == LSP_F16;
        for (int64_t i = 0; i < count * kPanel; i += kWidth)
            store(out + i, half ? load_f16(source + i) : load_bf16(source + i));
        return;
    }
    const bool wide = weight.format == LSP_INT8;
    constexpr int kVectors = kPanel / kWidth;
    for (int64_t done = 0; done < count; done += weight.group) {
        const uint8_t* block = panel + (first + done) / weight.group * weight.group_bytes;
        const uint8_t* values = block + 2 * kPanel;
        F32 scale[kVectors], offset[kVectors];
        for (int v = 0; v < kVectors; v++) {
            scale[v] = load_f16(reinterpret_cast<const uint16_t*>(block) + v * kWidth);
            offset[v] = scale[v] * set1(wide ? -128.0f : -8.0f);
        }
        const int64_t columns = count - done < weight.group ? count - done : weight.group;
        for (int64_t c = 0; c < columns; c++) {
            for (int v = 0; v < kVectors; v++) {
                const int row = v * kWidth;
                const int shift = static_cast<int>(c % 4) * 8;
                const F32 q = wide ? load_bits(values + c / 4 * 128 + row * 4, shift, 255)
                                   : load_bits(values + c / 4 * 64 + row % 16 * 4, shift + (row < 16 ? 0 : 4), 15);
                // Exact: 8 bits times the 11 of a half.
                store(out + (done + c) * kPanel + row, fma(q, scale[v], offset[v]));
            }
        }
    }
}

}  // namespace
}  // namespace lsp
