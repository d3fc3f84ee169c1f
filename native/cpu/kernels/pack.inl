// The left operand of a product in the order in which the register tiles read it: panels of up to kRows rows.
#pragma once

#include "../kernels.h"
#include "../simd.h"
#include "tile_float.inl"

namespace lsp {
namespace {

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// A row-major matrix [rows, columns].
inline Rows matrix_rows(const float* data, int64_t rows, int64_t columns) {
    return {data, 0, rows, 0, rows, 0, columns, columns, 0};
}

inline const float* row_start(const Rows& x, int64_t row) {
    const int64_t r = x.first + row, in_block = r % x.block;
    return x.data + r / x.block * x.apart + in_block / x.across * x.down + in_block % x.across * x.right;
}

// Elements first ... first + count - 1 of a row: where they lie, or a copy of them.
inline const float* fetch(const Rows& x, int64_t row, int64_t first, int64_t count, float* copy) {
    const float* start = row_start(x, row);
    int64_t segment = first / x.segment, at = first % x.segment;
    if (at + count <= x.segment) return start + segment * x.skip + at;
    for (int64_t done = 0; done < count; segment++, at = 0) {
        const int64_t here = least(x.segment - at, count - done);
        memcpy(copy + done, start + segment * x.skip + at, static_cast<size_t>(here) * sizeof(float));
        done += here;
    }
    return copy;
}

// How the rows of a product are cut. Depends on the shape alone, so that results do not depend on the number of
// threads.
struct RowPanels {
    int64_t m;
    int64_t rows;  // of a panel, but perhaps the last
    int64_t count;

    RowPanels(int64_t m, int64_t most) : m(m) {
        rows = ceil_div(m, ceil_div(m, most));  // with 12, 25 rows are 9 + 9 + 7 rather than 12 + 12 + 1
        count = ceil_div(m, rows);
    }
    int64_t first(int64_t panel) const { return panel * rows; }
    int64_t size(int64_t panel) const { return least(rows, m - first(panel)); }
};

constexpr int64_t kPackColumns = 512;  // columns that one task packs: a multiple of every group size

// float32: [panel][k][rows of the panel].
inline void pack_float(const Rows& x, const RowPanels& panels, int64_t panel, int64_t k, int64_t first, int64_t count,
                       float* packed) {
    const int64_t rows = panels.size(panel);
    float* out = packed + panels.first(panel) * k + first * rows;
    for (int64_t i = 0; i < rows; i++) {
        float copy[kPackColumns];
        const float* source = fetch(x, panels.first(panel) + i, first, count, copy);
        for (int64_t c = 0; c < count; c++) out[c * rows + i] = source[c];
    }
}

// int8: values [panel][padded k / 4][rows of the panel][4], or by rows, [panel][groups][rows of the panel][columns of
// the group]; scales and start [panel][groups][rows of the panel].
struct QuantizedTerm {
    int8_t* values;
    float* scales;
    int32_t* start;
};

// x = first term + second term. The second is what rounding left of the groups with an outlier, whose scale is too
// coarse for their other elements; it is there, zero in the rows without one, where has_second [panel][groups] says so.
struct QuantizedInput {
    QuantizedTerm first;
    QuantizedTerm second;
    uint8_t* has_second;
    int64_t groups;
    int64_t padded;  // k with every group filled up to a multiple of four
    bool by_rows;    // what tiles of AMX take

    static int64_t padded_columns(int64_t k) { return (k + 3) / 4 * 4; }
};

// Whether the largest magnitude of a group exceeds the mean of the others by far: 4 times is usual, and rounding then
// costs 1 % of an element; 16 times would cost 5 %. CLIP and Llama have channels of tens to hundreds of times the mean.
// False for NaN.
inline bool has_outlier(const float* x, int64_t count, float largest) {
    F32 sum = zero();
    int64_t i = 0;
    for (; i + kWidth <= count; i += kWidth) sum = sum + abs(load(x + i));
    if (i < count) sum = sum + abs(load_partial(x + i, count - i));
    const float others = reduce_add(sum) - largest;
    return others > 0 && largest * static_cast<float>(count - 1) > 16 * others;
}

// int8 values of a group, their sum, and the scale that makes x of them.
struct QuantizedGroup {
    alignas(64) int8_t values[128];
    int32_t sum;
    float scale;
};

// Symmetric: scale = largest magnitude / 127. A group with NaN or infinity gets the scale NaN, so that the product is
// NaN. The values are filled up with zeros to a multiple of four.
inline void quantize_group(const float* x, int64_t count, QuantizedGroup& out) {
    F32 most = zero(), check = zero();
    int64_t i = 0;
    for (; i + kWidth <= count; i += kWidth) {
        const F32 a = load(x + i);
        most = max(most, abs(a));
        check = fma(a, zero(), check);
    }
    if (i < count) {
        const F32 a = load_partial(x + i, count - i);
        most = max(most, abs(a));
        check = fma(a, zero(), check);
    }
    const float largest = reduce_max(most);
    if (any_nan(check) || largest < 1e-30f) {
        memset(out.values, 0, sizeof(out.values));
        out.sum = 0;
        out.scale = any_nan(check) ? __builtin_nanf("") : 0.0f;
        return;
    }
    const F32 inverse = set1(127.0f / largest);
    // The sum from the registers: reading the values back would wait for their stores.
    F32 sum = zero();
    i = 0;
    for (; i + kWidth <= count; i += kWidth) {
        const F32 rounded = round(load(x + i) * inverse);
        sum = sum + rounded;
        store_int8(out.values + i, rounded);
    }
    if (i < count) {
        const F32 rounded = round(load_partial(x + i, count - i) * inverse);
        sum = sum + rounded;
        int8_t rest[kWidth + 3] = {};
        store_int8(rest, rounded);
        memcpy(out.values + i, rest, static_cast<size_t>(QuantizedInput::padded_columns(count) - i));
    }
    out.sum = static_cast<int32_t>(reduce_add(sum));
    out.scale = largest / 127.0f;
}

// Lays a quantised group of row i of a panel of `rows` where the tiles read it: `at` + i is the number of its scale.
inline void place_group(const QuantizedTerm& term, int8_t* values, const QuantizedGroup& group, int64_t padded,
                        int offset, int64_t at, int64_t i, int64_t rows, bool by_rows) {
    term.scales[at + i] = group.scale;
    term.start[at + i] = -offset * group.sum;
    if (by_rows) {
        memcpy(values + i * padded, group.values, static_cast<size_t>(padded));
        return;
    }
    for (int64_t step = 0; step < padded / 4; step++)
        memcpy(values + step * rows * 4 + i * 4, group.values + step * 4, 4);
}

// What the group leaves of x, quantised.
inline void quantize_rest(const float* x, int64_t count, const QuantizedGroup& group, QuantizedGroup& out) {
    float rest[128];
    for (int64_t j = 0; j < count; j++) rest[j] = x[j] - static_cast<float>(group.values[j]) * group.scale;
    quantize_group(rest, count, out);
}

// Whole rows one after the other: a group of each row in turn would jump through memory.
inline void pack_int8(const Rows& x, const RowPanels& panels, int64_t panel, int64_t k, int64_t first, int64_t count,
                      int group, int offset, const QuantizedInput& packed) {
    const int64_t rows = panels.size(panel), row = panels.first(panel), first_group = first / group;
    uint8_t* has_second = packed.has_second + panel * packed.groups;
    memset(has_second + first_group, 0, static_cast<size_t>(ceil_div(count, group)));
    for (int64_t i = 0; i < rows; i++) {
        float copy[kPackColumns];
        const float* source = fetch(x, row + i, first, count, copy);
        // A row is too short for the processor's own prefetching, and each waits for memory.
        const float* next = row_start(x, row + least(i + 1, rows - 1)) + first;
        for (int64_t c = 0; c < count; c += group) {
            for (int64_t j = 0; j < group; j += 16) prefetch(next + c + j);
            const int64_t here = least(group, k - first - c);
            const int64_t padded = QuantizedInput::padded_columns(here);
            const int64_t g = first_group + c / group, at = row * packed.groups + g * rows;
            const int64_t values = row * packed.padded + (first + c) * rows;
            QuantizedGroup quantized;
            quantize_group(source + c, here, quantized);
            place_group(packed.first, packed.first.values + values, quantized, padded, offset, at, i, rows,
                        packed.by_rows);
            if (!has_outlier(source + c, here, quantized.scale * 127.0f)) continue;
            if (!has_second[g]) {
                // The rows before this one have none.
                memset(packed.second.values + values, 0, static_cast<size_t>(padded * rows));
                for (int64_t r = 0; r < rows; r++) packed.second.scales[at + r] = 0, packed.second.start[at + r] = 0;
                has_second[g] = 1;
            }
            QuantizedGroup rest;
            quantize_rest(source + c, here, quantized, rest);
            place_group(packed.second, packed.second.values + values, rest, padded, offset, at, i, rows,
                        packed.by_rows);
        }
    }
}

}  // namespace
}  // namespace lsp
