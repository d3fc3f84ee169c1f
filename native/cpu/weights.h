// A packed weight matrix. Panels of 32 rows lie one after the other; rows beyond the matrix are zero.
//
// float formats: panel = [columns][32 rows].
// integer formats: panel = [groups] of { scales: 32 x IEEE half (64 bytes); then for every four columns
//   int8: 128 bytes [32 rows][4 columns], q + 128 unsigned;
//   int4:  64 bytes, byte 4 * r + c holds (q + 8) of row r, column c in its low and of row r + 16 in its high half }.
// The last group may have fewer columns; they are filled up with q = 0 to a multiple of four. Stored unsigned, because
// the dot product instructions take one unsigned side and the offset then costs one sum per group of the *activations*.
#pragma once

#include <stdint.h>

#include "llavasp_cpu.h"

struct lsp_weight {
    int64_t rows;
    int64_t columns;
    int32_t format;
    int32_t group;        // columns that share a scale; 0 for float formats
    int64_t groups;       // of a row; 0 for float formats
    int64_t group_bytes;  // bytes of a full group of a panel, scales included
    int64_t panel_bytes;  // multiple of 64
    int64_t panels;
    uint8_t* data;  // 64-byte aligned
};

namespace lsp {

constexpr int kPanel = LSP_PANEL_ROWS;

// Whether rows first … first + count - 1 are whole panels of the weight, the last one of the matrix perhaps in part.
bool is_block(const lsp_weight* weight, int64_t first, int64_t count);

// One row, dequantised; destination [columns].
void read_row(const lsp_weight& weight, int64_t row, float* destination);

}  // namespace lsp
