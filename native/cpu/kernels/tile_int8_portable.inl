// The tile of tile_int8.inl for any architecture.
#pragma once

#include <string.h>

#include "../simd.h"
#include "../weights.h"
#include "quantized_rows.inl"

namespace lsp {
namespace {

inline int weight_offset(bool) { return 0; }

template <int MR, bool kWide>
void int8_tile(const uint8_t* w, int64_t columns, int group, const QuantizedRows& x, float* acc) {
    constexpr int kStep = kWide ? 128 : 64;
    const int8_t* values = x.values;
    for (int64_t g = 0; g * group < columns; g++) {
        const uint8_t* block = w + g * (2 * kPanel + group / 4 * kStep);
        const int64_t here = columns - g * group < group ? columns - g * group : group;
        int32_t sum[MR][kPanel] = {};
        for (int64_t step = 0; step < here / 4; step++) {
            const uint8_t* bytes = block + 2 * kPanel + step * kStep;
            for (int i = 0; i < MR; i++) {
                const int8_t* four = values + (step * MR + i) * 4;
                for (int row = 0; row < kPanel; row++) {
                    for (int c = 0; c < 4; c++) {
                        const int byte = bytes[kWide ? row * 4 + c : row % 16 * 4 + c];
                        sum[i][row] += four[c] * (kWide ? byte - 128 : (row < 16 ? byte & 15 : byte >> 4) - 8);
                    }
                }
            }
        }
        values += here * MR;
        for (int i = 0; i < MR; i++) {
            for (int row = 0; row < kPanel; row++) {
                const float scale = half_to_float(reinterpret_cast<const uint16_t*>(block)[row]) * x.scales[g * MR + i];
                acc[i * kPanel + row] += static_cast<float>(sum[i][row]) * scale;
            }
        }
    }
}

}  // namespace
}  // namespace lsp
