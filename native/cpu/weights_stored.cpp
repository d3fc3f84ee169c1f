// Rows as checkpoints hold them into the panels of a weight: nothing is converted to float32 on the way, so loading
// takes little longer than reading.
#include <cstring>
#include <vector>

#include "api.h"
#include "weights.h"

namespace lsp {
namespace {

// One panel: row[lane] is where its rows lie, scales[lane] where their scales do.
struct PanelRows {
    const uint8_t* row[kPanel];
    const uint16_t* scales[kPanel];
};

template <typename T>
T read(const uint8_t* p, int64_t index) {
    T value;
    memcpy(&value, p + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
    return value;
}

// Four nibbles of a 16-bit word, the lowest first, to the low halves of four bytes.
uint32_t spread(uint32_t nibbles) {
    const uint32_t pairs = (nibbles | nibbles << 8) & 0x00ff00ff;
    return (pairs | pairs << 4) & 0x0f0f0f0f;
}

// As spread, of the first `count` nibbles; the others are zeros of int4.
uint32_t spread_some(const uint8_t* p, int64_t count) {
    uint32_t word = 0x08080808;
    for (int64_t c = 0; c < count; c++)
        word = (word & ~(0xffu << 8 * c)) | static_cast<uint32_t>(p[c / 2] >> 4 * (c & 1) & 15) << 8 * c;
    return word;
}

// Words of four columns, 16 words for each: rows 0 to 15 in the low nibbles, 16 to 31 in the high ones.
void write_int4_group(const PanelRows& rows, int64_t first, int64_t columns, uint8_t* out) {
    uint32_t words[16][32];
    const int64_t steps = columns / 4, rest = columns % 4;
    for (int64_t lane = 0; lane < 16; lane++) {
        const uint8_t* low = rows.row[lane] + first / 2;
        const uint8_t* high = rows.row[lane + 16] + first / 2;
        for (int64_t s = 0; s < steps; s++)
            words[lane][s] = spread(read<uint16_t>(low, s)) | spread(read<uint16_t>(high, s)) << 4;
        if (rest != 0)
            words[lane][steps] = spread_some(low + 2 * steps, rest) | spread_some(high + 2 * steps, rest) << 4;
    }
    for (int64_t s = 0; s < steps + (rest != 0); s++) {
        for (int64_t lane = 0; lane < 16; lane++) memcpy(out + (s * 16 + lane) * 4, &words[lane][s], 4);
    }
}

void write_int8_group(const PanelRows& rows, int64_t first, int64_t columns, uint8_t* out) {
    const int64_t steps = columns / 4, rest = columns % 4;
    for (int64_t lane = 0; lane < kPanel; lane++) {
        const uint8_t* row = rows.row[lane] + first;
        for (int64_t s = 0; s < steps; s++) {
            const uint32_t word = read<uint32_t>(row, s) ^ 0x80808080;
            memcpy(out + (s * kPanel + lane) * 4, &word, 4);
        }
        if (rest == 0) continue;
        uint32_t word = 0;
        memcpy(&word, row + 4 * steps, static_cast<size_t>(rest));
        word ^= 0x80808080;
        memcpy(out + (steps * kPanel + lane) * 4, &word, 4);
    }
}

void write_integer_panel(const lsp_weight& w, const PanelRows& rows, uint8_t* panel) {
    for (int64_t g = 0; g < w.groups; g++) {
        uint8_t* block = panel + g * w.group_bytes;
        for (int64_t lane = 0; lane < kPanel; lane++) memcpy(block + 2 * lane, rows.scales[lane] + g, 2);
        const int64_t first = g * w.group;
        const int64_t columns = w.columns - first < w.group ? w.columns - first : w.group;
        (w.format == LSP_INT8 ? write_int8_group : write_int4_group)(rows, first, columns, block + 64);
    }
}

template <typename T>
void write_float_panel(const lsp_weight& w, const PanelRows& rows, uint8_t* panel) {
    for (int64_t c = 0; c < w.columns; c++) {
        T lanes[kPanel];
        for (int64_t lane = 0; lane < kPanel; lane++) lanes[lane] = read<T>(rows.row[lane], c);
        memcpy(panel + c * static_cast<int64_t>(sizeof lanes), lanes, sizeof lanes);
    }
}

// Bytes of a row in a checkpoint.
int64_t stored_bytes(const lsp_weight& w) {
    switch (w.format) {
        case LSP_F32:
            return 4 * w.columns;
        case LSP_INT8:
            return w.columns;
        case LSP_INT4:
            return (w.columns + 1) / 2;
        default:
            return 2 * w.columns;
    }
}

void write_panels(const lsp_weight& w, int64_t first, int64_t count, const uint8_t* values, const uint16_t* scales) {
    const int64_t bytes = stored_bytes(w);
    // What stands in the lanes of a last panel that has fewer rows.
    std::vector<uint8_t> zeros;
    std::vector<uint16_t> no_scales;
    if (count % kPanel != 0) {
        zeros.assign(static_cast<size_t>(bytes), w.format == LSP_INT4 ? 0x88 : 0);
        no_scales.assign(static_cast<size_t>(w.groups), 0);
    }
    for (int64_t start = 0; start < count; start += kPanel) {
        PanelRows rows;
        for (int64_t lane = 0; lane < kPanel; lane++) {
            const bool there = start + lane < count;
            rows.row[lane] = there ? values + (start + lane) * bytes : zeros.data();
            rows.scales[lane] = w.group == 0 ? nullptr : there ? scales + (start + lane) * w.groups : no_scales.data();
        }
        uint8_t* panel = w.data + (first + start) / kPanel * w.panel_bytes;
        if (w.group != 0) {
            write_integer_panel(w, rows, panel);
        } else if (w.format == LSP_F32) {
            write_float_panel<uint32_t>(w, rows, panel);
        } else {
            write_float_panel<uint16_t>(w, rows, panel);
        }
    }
}

}  // namespace
}  // namespace lsp

using namespace lsp;

int32_t lsp_weight_write_stored(lsp_weight* weight, int64_t first, int64_t count, const void* values,
                                const uint16_t* scales) {
    return guarded(is_block(weight, first, count) && values && (scales != nullptr || weight->group == 0), [&] {
        write_panels(*weight, first, count, static_cast<const uint8_t*>(values), scales);
        return LSP_OK;
    });
}
