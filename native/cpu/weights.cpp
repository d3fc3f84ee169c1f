#include "weights.h"

#include <cstring>
#include <memory>

#include "api.h"
#include "memory.h"
#include "numeric.h"

namespace lsp {
namespace {

// Columns of group g, filled up to a multiple of four.
int64_t padded_columns(const lsp_weight& w, int64_t g) {
    const int64_t left = w.columns - g * w.group;
    return ((left < w.group ? left : w.group) + 3) / 4 * 4;
}

uint8_t* panel_of(const lsp_weight& w, int64_t row) { return w.data + row / kPanel * w.panel_bytes; }

// Byte of (row in panel, column in group) behind the scales of an integer group.
int64_t integer_offset(const lsp_weight& w, int64_t row, int64_t column) {
    return w.format == LSP_INT8 ? column / 4 * 128 + row * 4 + column % 4 : column / 4 * 64 + row % 16 * 4 + column % 4;
}

void write_float_row(const lsp_weight& w, int64_t row, const float* values) {
    uint8_t* panel = panel_of(w, row);
    const int64_t lane = row % kPanel;
    for (int64_t c = 0; c < w.columns; c++) {
        const int64_t at = c * kPanel + lane;
        switch (w.format) {
            case LSP_F32:
                reinterpret_cast<float*>(panel)[at] = values[c];
                break;
            case LSP_F16:
                reinterpret_cast<uint16_t*>(panel)[at] = float_to_half(values[c]);
                break;
            default:
                reinterpret_cast<uint16_t*>(panel)[at] = float_to_bfloat(values[c]);
                break;
        }
    }
}

void clear_integer_panel(const lsp_weight& w, uint8_t* panel) {
    for (int64_t g = 0; g < w.groups; g++) {
        uint8_t* block = panel + g * w.group_bytes;
        const int64_t bytes = padded_columns(w, g) * (w.format == LSP_INT8 ? 32 : 16);
        std::memset(block, 0, 64);
        std::memset(block + 64, w.format == LSP_INT8 ? 0x80 : 0x88, static_cast<size_t>(bytes));
    }
}

void write_integer_row(const lsp_weight& w, int64_t row, const int8_t* values, const float* scales) {
    uint8_t* panel = panel_of(w, row);
    const int64_t lane = row % kPanel;
    for (int64_t g = 0; g < w.groups; g++) {
        uint8_t* block = panel + g * w.group_bytes;
        reinterpret_cast<uint16_t*>(block)[lane] = float_to_half(scales[g]);
        const int64_t first = g * w.group;
        const int64_t count = w.columns - first < w.group ? w.columns - first : w.group;
        for (int64_t c = 0; c < count; c++) {
            uint8_t& byte = block[64 + integer_offset(w, lane, c)];
            const int q = values[first + c];
            if (w.format == LSP_INT8) {
                byte = static_cast<uint8_t>(q + 128);
            } else if (lane < 16) {
                byte = static_cast<uint8_t>((byte & 0xf0) | ((q + 8) & 0x0f));
            } else {
                byte = static_cast<uint8_t>((byte & 0x0f) | ((q + 8) & 0x0f) << 4);
            }
        }
    }
}

}  // namespace

bool is_block(const lsp_weight* w, int64_t first, int64_t count) {
    return w != nullptr && first >= 0 && count >= 0 && first % kPanel == 0 && count <= w->rows &&
           first <= w->rows - count && (count % kPanel == 0 || first + count == w->rows);
}

void read_row(const lsp_weight& w, int64_t row, float* destination) {
    const uint8_t* panel = panel_of(w, row);
    const int64_t lane = row % kPanel;
    if (w.group == 0) {
        for (int64_t c = 0; c < w.columns; c++) {
            const int64_t at = c * kPanel + lane;
            switch (w.format) {
                case LSP_F32:
                    destination[c] = reinterpret_cast<const float*>(panel)[at];
                    break;
                case LSP_F16:
                    destination[c] = half_to_float(reinterpret_cast<const uint16_t*>(panel)[at]);
                    break;
                default:
                    destination[c] = bfloat_to_float(reinterpret_cast<const uint16_t*>(panel)[at]);
                    break;
            }
        }
        return;
    }
    for (int64_t c = 0; c < w.columns; c++) {
        const uint8_t* block = panel + c / w.group * w.group_bytes;
        const float scale = half_to_float(reinterpret_cast<const uint16_t*>(block)[lane]);
        const int byte = block[64 + integer_offset(w, lane, c % w.group)];
        const int q = w.format == LSP_INT8 ? byte - 128 : (lane < 16 ? byte & 15 : byte >> 4) - 8;
        destination[c] = static_cast<float>(q) * scale;
    }
}

}  // namespace lsp

using namespace lsp;

int32_t lsp_weight_create(int64_t rows, int64_t columns, int32_t format, int32_t group, lsp_weight** out) {
    constexpr int64_t kMost = int64_t{1} << 31;
    const bool integer = format == LSP_INT8 || format == LSP_INT4;
    const bool valid = out != nullptr && rows >= 1 && columns >= 1 && rows < kMost && columns < kMost &&
                       format >= LSP_F32 && format <= LSP_INT4 &&
                       (integer ? group == 32 || group == 64 || group == 128 : group == 0);
    return guarded(valid, [&] {
        auto weight = std::make_unique<lsp_weight>();
        weight->rows = rows;
        weight->columns = columns;
        weight->format = format;
        weight->group = group;
        weight->panels = (rows + kPanel - 1) / kPanel;
        if (integer) {
            const int64_t column_bytes = format == LSP_INT8 ? 32 : 16;  // of one column of a panel
            weight->groups = (columns + group - 1) / group;
            weight->group_bytes = 64 + group * column_bytes;
            weight->panel_bytes = (weight->groups - 1) * weight->group_bytes + 64 +
                                  padded_columns(*weight, weight->groups - 1) * column_bytes;
        } else {
            weight->panel_bytes = columns * kPanel * (format == LSP_F32 ? 4 : 2);
        }
        weight->panel_bytes = (weight->panel_bytes + 63) / 64 * 64;
        if (weight->panel_bytes > (int64_t{1} << 46) / weight->panels) throw std::bad_alloc();
        weight->data = static_cast<uint8_t*>(allocate(static_cast<size_t>(lsp_weight_bytes(weight.get()))));
        *out = weight.release();
        return LSP_OK;
    });
}

void lsp_weight_destroy(lsp_weight* weight) {
    if (weight == nullptr) return;
    release(weight->data, static_cast<size_t>(lsp_weight_bytes(weight)));
    delete weight;
}

int64_t lsp_weight_bytes(const lsp_weight* weight) {
    return weight == nullptr ? 0 : weight->panels * weight->panel_bytes;
}

int32_t lsp_weight_write_f32(lsp_weight* weight, int64_t first, int64_t count, const float* values) {
    return guarded(is_block(weight, first, count) && values && weight->group == 0, [&] {
        for (int64_t i = 0; i < count; i++) write_float_row(*weight, first + i, values + i * weight->columns);
        return LSP_OK;
    });
}

int32_t lsp_weight_write_integers(lsp_weight* weight, int64_t first, int64_t count, const int8_t* values,
                                  const float* scales) {
    return guarded(is_block(weight, first, count) && values && scales && weight->group != 0, [&] {
        for (int64_t i = 0; i < count; i++) {
            if (i % kPanel == 0) clear_integer_panel(*weight, panel_of(*weight, first + i));
            write_integer_row(*weight, first + i, values + i * weight->columns, scales + i * weight->groups);
        }
        return LSP_OK;
    });
}

int32_t lsp_weight_read_rows(const lsp_weight* weight, int64_t first, int64_t count, float* destination) {
    const bool valid =
        weight && destination && first >= 0 && count >= 0 && count <= weight->rows && first <= weight->rows - count;
    return guarded(valid, [&] {
        for (int64_t i = 0; i < count; i++) read_row(*weight, first + i, destination + i * weight->columns);
        return LSP_OK;
    });
}
