// Detail fusion (DFI): conv_CM, k x k with a stride over the grid, and the cross-attention of the spatial tokens to its
// positions. Called by CudaBackend.DetailFusion in this order: fusion_conv_*, fusion_normalise, the three projections
// (products of the backend), fusion_attention.
//
//   features  [tiles * grid * grid, d]           float32 or f16
//   weights   [width, k*k*d]                     packed; columns position-major, channel-minor
//   partial   [splits][tiles * positions][width] float32; positions = side * side, side = (grid - k) / stride + 1
//   tokens    [tiles * t, width]; normed query rows like it; key and value rows [tiles * positions, width]
//   y         [tiles * t, 2 * width] = concat(tokens, softmax(q k^T / sqrt(width)) v)
//
// fusion_conv is an implicit GEMM: weights are the left operand, positions the columns of the mma (32 in a pass). Two
// forms of staging x in shared memory:
// - cells (d a multiple of 64): kernel rows and columns of one residue modulo the stride look only at cells of that
//   residue, so a stage is 64 channels of the cells of one class: 144 of 576, read once, in which every position of the
//   class finds its windows; no im2col anywhere. Cells of a row begin `pitch` cells apart, pitch = side modulo 8, so
//   that position p lies p cells (modulo 8) from its window's first: 8 rows of an ldmatrix never share a bank.
// - columns (any d): a stage is 256 columns of the windows of 32 positions, gathered.
// Stages are split over blocks in x, 128 rows of weights over blocks in y; a row tile belongs to two warps, which take
// every other quad (64 columns) and are added in the end. The splits' partial sums are bounded (below 5 % of the bytes
// of the weights) and added in order: the same bits in every run.
//
// 7B case: k 16, stride 2, grid 24, d 1024, width 512, 25 positions: 134 M weights, each read once for a tile.
//   bytes: f16 268 MB, int8 136 MB, int4 69 MB (group 128, with scales). 32 splits' partial sums: written and read 3.3
//   MB; x 4.7 MB, every stage by 4 blocks; both out of the second cache. Operations: 6.7 G (8.6 G with the empty
//   columns). floor: RTX 4090 (1,008 GB/s, 165 TFLOP/s) 0.27 / 0.14 / 0.07 ms; Jetson AGX Orin (204 GB/s) 1.3 / 0.67 /
//   0.34 ms.
// Occupancy: 128 blocks of 16 warps, one for each SM of the RTX 4090: more would only raise the partial sums above
// their bound. A warp has 4 KB of weights under way, 64 KB an SM; 6 KB would do.
#include "common/elements.cuh"
#include "common/reduce.cuh"
#include "common/weight_stream.cuh"

namespace {

constexpr int kThreads = 512;
constexpr int kRowTiles = 8;  // of a block, each with two warps
constexpr int kColumnTiles = 4;
constexpr int kColumns = kColumnTiles * 8;                      // positions of a pass
constexpr int kCellBytes = kQuadColumns * 2 + 16;               // 64 channels of a cell: an odd multiple of 16
constexpr int kStageQuads = 4;                                  // of the form "columns"
constexpr int kRowBytes = kStageQuads * kQuadColumns * 2 + 16;  // of a position: an odd multiple of 16

/// What fusion_conv is asked for: sizes by the names above.
struct Shape {
    const void* features;
    int element, ld;
    int tiles, grid, d, kernel, stride, side, width;

    DEVICE int positions() const { return side * side; }
    DEVICE int quads() const { return ceil_div(kernel * kernel * d, kQuadColumns); }
};

/// Form "cells": a stage is a class of residues and 64 channels.
struct CellStages {
    Shape shape;
    int residues;    // in each direction
    int chunks;      // of 64 channels
    int pitch;       // cells from row to row
    int tile_cells;  // cells from tile to tile
    int columns;     // of a pass: whole tiles
    // The current stage: first kernel row and column, how many of each, and the quad of the first kernel position.
    int top = 0, left = 0, rows = 0, across = 0, chunk = 0;

    DEVICE explicit CellStages(const Shape& s) : shape(s) {
        residues = minimum(s.stride, s.kernel);
        chunks = s.d / kQuadColumns;
        const int cells = s.side + ceil_div(s.kernel, s.stride) - 1;
        pitch = cells + ((s.side - cells) % 8 + 8) % 8;
        tile_cells = cells * pitch;
        tile_cells += ((s.positions() - tile_cells) % 8 + 8) % 8;
        columns = kColumns / s.positions() * s.positions();
    }

    DEVICE int count() const { return residues * residues * chunks; }

    /// Bytes from the stage's start to the first channels of the window of column `column` of a pass.
    DEVICE int column_offset(int column) const {
        // Columns without a position read what is there; nobody uses their sums.
        if (column >= columns) return (column % 8) % (shape.side * shape.side) * 0;
        const int tile = column / shape.positions(), position = column % shape.positions();
        return (tile * tile_cells + position / shape.side * pitch + position % shape.side) * kCellBytes;
    }

    DEVICE int begin(int stage) {
        const int residue = stage / chunks;
        chunk = stage % chunks;
        top = residue / residues;
        left = residue % residues;
        rows = ceil_div(shape.kernel - top, shape.stride);
        across = ceil_div(shape.kernel - left, shape.stride);
        return rows * across;
    }

    DEVICE void fill(unsigned char* stage, int first_column) const {
        const int high = shape.side + rows - 1, wide = shape.side + across - 1, cells = high * wide;
        const int tile0 = first_column / shape.positions();
        const int tiles = minimum(columns / shape.positions(), shape.tiles - tile0);
        for (int item = thread_x(); item < tiles * cells * 8; item += kThreads) {
            const int eight = item % 8, cell = item / 8 % cells, tile = item / 8 / cells;
            const int y = cell / wide, x = cell % wide;
            const int from =
                ((tile0 + tile) * shape.grid + top + y * shape.stride) * shape.grid + left + x * shape.stride;
            float values[8] = {0, 0, 0, 0, 0, 0, 0, 0};
            add_8_elements(values, shape.features, shape.element,
                           int64_t(from) * shape.ld + chunk * kQuadColumns + eight * 8);
            sts(reinterpret_cast<u32x4*>(stage + (tile * tile_cells + y * pitch + x) * kCellBytes) + eight,
                to_8_halves(values));
        }
    }

    /// Quad `index` of the stage among those of the weights, and how far its channels lie from those of quad 0.
    DEVICE int quad(int index) const {
        const int y = top + index / across * shape.stride, x = left + index % across * shape.stride;
        return (y * shape.kernel + x) * chunks + chunk;
    }
    DEVICE int quad_offset(int index) const { return (index / across * pitch + index % across) * kCellBytes; }
};

/// Form "columns": a stage is 4 quads of the windows of all positions of a pass.
struct ColumnStages {
    Shape shape;
    int columns = kColumns;
    int first = 0;

    DEVICE explicit ColumnStages(const Shape& s) : shape(s) {}

    DEVICE int count() const { return ceil_div(shape.quads(), kStageQuads); }
    DEVICE int column_offset(int column) const { return column * kRowBytes; }

    DEVICE int begin(int stage) {
        first = stage * kStageQuads;
        return minimum(kStageQuads, shape.quads() - first);
    }

    DEVICE void fill(unsigned char* stage, int first_column) const {
        const int all = shape.kernel * shape.kernel * shape.d, total = shape.tiles * shape.positions();
        for (int item = thread_x(); item < kColumns * kStageQuads * 8; item += kThreads) {
            const int column = item / (kStageQuads * 8), eight = item % (kStageQuads * 8);
            const int k = first * kQuadColumns + eight * 8;
            float values[8] = {0, 0, 0, 0, 0, 0, 0, 0};
            if (first_column + column < total) {
                if (shape.d % 8 == 0) {
                    if (k < all)
                        add_8_elements(values, shape.features, shape.element, source(first_column + column, k));
                } else {
#pragma unroll
                    for (int i = 0; i < 8; i++) {
                        if (k + i < all)
                            values[i] =
                                read_element(shape.features, shape.element, source(first_column + column, k + i));
                    }
                }
            }
            sts(reinterpret_cast<u32x4*>(stage + column * kRowBytes) + eight, to_8_halves(values));
        }
    }

    DEVICE int quad(int index) const { return first + index; }
    DEVICE int quad_offset(int index) const { return index * kQuadColumns * 2; }

  private:
    /// Element of the features behind column k of the weights for a position.
    DEVICE int64_t source(int column, int k) const {
        const int tile = column / shape.positions(), position = column % shape.positions();
        const int cell = k / shape.d, channel = k % shape.d;
        const int y = position / shape.side * shape.stride + cell / shape.kernel;
        const int x = position % shape.side * shape.stride + cell % shape.kernel;
        return int64_t((tile * shape.grid + y) * shape.grid + x) * shape.ld + channel;
    }
};

template <int Kind, typename Stages>
DEVICE void fusion_conv(float* partial, const u32x4* packed, const f16x2* scales, int group, const Shape& shape) {
    constexpr int kBatch = 4 / kQuadLoads<Kind>;  // quads whose weights are loaded before their products
    unsigned char* shared = shared_memory();
    Stages stages(shape);
    const int lane = lane_id(), half = warp_id() / kRowTiles;
    const int row_tile = block_y() * kRowTiles + warp_id() % kRowTiles;
    const bool active = row_tile * 16 < shape.width;
    const int first_column = block_z() * stages.columns, quads = shape.quads();
    const ScaleTable scale_table = ScaleTable::of(scales, group, quads);

    const unsigned char* windows[kColumnTiles];
#pragma unroll
    for (int n = 0; n < kColumnTiles; n++) windows[n] = shared + stages.column_offset(n * 8 + lane % 8) + lane / 8 * 16;

    float sums[kColumnTiles][4] = {};
    const int begin = int(int64_t(stages.count()) * block_x() / grid_x());
    const int end = int(int64_t(stages.count()) * (block_x() + 1) / grid_x());
#pragma unroll 1
    for (int stage = begin; stage < end; stage++) {
        const int count = stages.begin(stage);
        barrier();  // the stage before has been used
        stages.fill(shared, first_column);
        barrier();
        if (!active) continue;
#pragma unroll 1
        for (int index = half; index < count; index += 2 * kBatch) {
            u32x4 loads[kBatch][kQuadLoads<Kind>] = {};
            QuadScales batch_scales[kBatch] = {};
#pragma unroll
            for (int i = 0; i < kBatch; i++) {
                if (index + 2 * i >= count) continue;
                const int quad = stages.quad(index + 2 * i);
                const u32x4* at = quad_address<Kind>(packed, row_tile, quads, quad);
#pragma unroll
                for (int l = 0; l < kQuadLoads<Kind>; l++) loads[i][l] = ldg_stream(at + l * kWarp);
                if (Kind != kWeightF16) batch_scales[i] = scale_table.load(row_tile, quad);
            }
#pragma unroll
            for (int i = 0; i < kBatch; i++) {
                if (index + 2 * i >= count) continue;
                const int offset = stages.quad_offset(index + 2 * i);
                uint32_t b[kColumnTiles][8];
#pragma unroll
                for (int n = 0; n < kColumnTiles; n++) right_operand(b[n], windows[n] + offset);
                multiply_quad<Kind, kColumnTiles>(sums, loads[i], b, batch_scales[i]);
            }
        }
    }

    // The second warp of a row tile hands its sums to the first: [row tile][16][lane].
    barrier();
    float* handed = reinterpret_cast<float*>(shared) + warp_id() % kRowTiles * (kColumnTiles * 4 * kWarp) + lane;
    if (half == 1) {
#pragma unroll
        for (int i = 0; i < kColumnTiles * 4; i++) sts(handed + i * kWarp, sums[i / 4][i % 4]);
    }
    barrier();
    if (half == 1 || !active) return;
    const int total = shape.tiles * shape.positions();
#pragma unroll
    for (int i = 0; i < kColumnTiles * 4; i++) {
        const float sum = sums[i / 4][i % 4] + lds(handed + i * kWarp);
        const int column = i / 4 * 8 + lane % 4 * 2 + i % 2, row = row_tile * 16 + lane / 4 + i % 4 / 2 * 8;
        if (column < stages.columns && first_column + column < total && row < shape.width) {
            stg(partial + (int64_t(block_x()) * total + first_column + column) * shape.width + row, sum);
        }
    }
}

}  // namespace

// grid (splits, width / 128 rounded up, passes); a pass is 32 columns, or for cells as many as make whole tiles.
// Shared memory: the larger of a stage and 16,384 bytes; a stage is 32 * 528 bytes, or for cells 144 bytes times the
// cells (CellStages: tile_cells) of the tiles of a pass.
#define FUSION_CONV(name, kind, stages)                                                                              \
    KERNEL(name, kThreads, 1)                                                                                        \
    (float* partial, const void* features, const u32x4* packed, const f16x2* scales, int group, int element, int ld, \
     int tiles, int grid, int d, int kernel, int stride, int side, int width) {                                      \
        fusion_conv<kind, stages>(partial, packed, scales, group,                                                    \
                                  Shape{features, element, ld, tiles, grid, d, kernel, stride, side, width});        \
    }                                                                                                                \
    REGISTER_KERNEL(name)

FUSION_CONV(fusion_conv_cells_f16, kWeightF16, CellStages);
FUSION_CONV(fusion_conv_cells_int8, kWeightInt8, CellStages);
FUSION_CONV(fusion_conv_cells_int4, kWeightInt4, CellStages);
FUSION_CONV(fusion_conv_columns_f16, kWeightF16, ColumnStages);
FUSION_CONV(fusion_conv_columns_int8, kWeightInt8, ColumnStages);
FUSION_CONV(fusion_conv_columns_int4, kWeightInt4, ColumnStages);

namespace {

constexpr int kNormThreads = 128;

/// LayerNorm of a row in shared memory. Rows may hold the largest finite numbers: they are scaled before they are
/// squared.
DEVICE void normalise(void* y, int element, int64_t begin, const float* row, int width, float mean, float inverse,
                      float scale, const void* weight, const void* bias, int weight_element) {
    for (int c = thread_x(); c < width; c += kNormThreads) {
        const float value = (lds(row + c) * scale - mean) * inverse;
        write_element(y, element, begin + c,
                      value * read_element(weight, weight_element, c) + read_element(bias, weight_element, c));
    }
}

}  // namespace

// Block b < rows = tiles * positions: conv [rows, width] (may be null) = nan_to_num(the splits' sum), and its two
// LayerNorms to key and value. Block rows + i: row i of tokens, nan_to_num, to the left half of y, and its LayerNorm to
// query. Shared memory: width floats, and 32 more.
KERNEL(fusion_normalise, kNormThreads, 1)
(float* conv, void* query, void* key, void* value, void* y, const float* partial, const void* tokens,
 const void* query_weight, const void* query_bias, const void* key_weight, const void* key_bias,
 const void* value_weight, const void* value_bias, int splits, int rows, int width, int normed_element, int normed_ld,
 int token_element, int token_ld, int y_element, int y_ld, int weight_element, float epsilon) {
    float* row = reinterpret_cast<float*>(shared_memory());
    float* scratch = row + width;
    const bool token = block_x() >= rows;
    const int index = token ? block_x() - rows : block_x();
    float largest = 0;
    for (int c = thread_x(); c < width; c += kNormThreads) {
        float x = 0;
        if (token) {
            x = nan_to_num(read_element(tokens, token_element, int64_t(index) * token_ld + c));
            write_element(y, y_element, int64_t(index) * y_ld + c, x);
        } else {
            for (int s = 0; s < splits; s++) x += ldg(partial + (int64_t(s) * rows + index) * width + c);
            x = nan_to_num(x);
            if (conv) stg(conv + int64_t(index) * width + c, x);
        }
        sts(row + c, x);
        largest = maximum(largest, x < 0 ? -x : x);
    }
    largest = warp_max(largest);
    if (lane_id() == 0) sts(scratch + warp_id(), largest);
    barrier();
    for (int w = 0; w < kNormThreads / kWarp; w++) largest = maximum(largest, lds(scratch + w));
    barrier();

    // Powers of two: the rows of every day keep their bits.
    const float scale = largest > 1.0e15f ? 5.421010862427522e-20f * 1.0842021724855044e-19f : 1.0f;
    float sum = 0;
    for (int c = thread_x(); c < width; c += kNormThreads) sum += lds(row + c) * scale;
    const float mean = block_sum(sum, scratch) / float(width);
    float squares = 0;
    for (int c = thread_x(); c < width; c += kNormThreads) {
        const float difference = lds(row + c) * scale - mean;
        squares += difference * difference;
    }
    const float inverse = 1.0f / sqrtf(block_sum(squares, scratch) / float(width) + epsilon * scale * scale);

    const int64_t begin = int64_t(index) * normed_ld;
    if (token) {
        normalise(query, normed_element, begin, row, width, mean, inverse, scale, query_weight, query_bias,
                  weight_element);
    } else {
        normalise(key, normed_element, begin, row, width, mean, inverse, scale, key_weight, key_bias, weight_element);
        normalise(value, normed_element, begin, row, width, mean, inverse, scale, value_weight, value_bias,
                  weight_element);
    }
}
REGISTER_KERNEL(fusion_normalise);

namespace {

constexpr int kAttentionThreads = 256;
constexpr int kAttentionWarps = kAttentionThreads / kWarp;

}  // namespace

// Block i: token i of tiles * count attends to the positions of its tile; the right half of row i of y. logits, probs:
// [tiles * count, positions], may be null. Shared memory: width + positions floats.
KERNEL(fusion_attention, kAttentionThreads, 1)
(void* y, const void* query, const void* key, const void* value, float* logits, float* probs, int element, int ld,
 int y_element, int y_ld, int count, int positions, int width) {
    float* row = reinterpret_cast<float*>(shared_memory());
    float* weights = row + width;
    const int64_t first = int64_t(block_x() / count) * positions;
    for (int c = thread_x(); c < width; c += kAttentionThreads) {
        sts(row + c, read_element(query, element, int64_t(block_x()) * ld + c));
    }
    barrier();
    const float scale = 1.0f / sqrtf(float(width));
    for (int j = warp_id(); j < positions; j += kAttentionWarps) {
        float sum = 0;
        for (int c = lane_id(); c < width; c += kWarp)
            sum += lds(row + c) * read_element(key, element, (first + j) * ld + c);
        sum = nan_to_num(warp_sum(sum) * scale);
        if (lane_id() == 0) {
            sts(weights + j, sum);
            if (logits) stg(logits + int64_t(block_x()) * positions + j, sum);
        }
    }
    barrier();

    // Every warp for itself, in one order: the same bits in all.
    float largest = -3.402823466e38f;
    for (int j = 0; j < positions; j++) largest = maximum(largest, lds(weights + j));
    float total = 0;
    for (int j = 0; j < positions; j++) total += exp_fast(lds(weights + j) - largest);
    barrier();
    for (int j = thread_x(); j < positions; j += kAttentionThreads) {
        const float probability = exp_fast(lds(weights + j) - largest) / total;
        sts(weights + j, probability);
        if (probs) stg(probs + int64_t(block_x()) * positions + j, probability);
    }
    barrier();
    for (int c = thread_x(); c < width; c += kAttentionThreads) {
        float sum = 0;
        for (int j = 0; j < positions; j++)
            sum += lds(weights + j) * read_element(value, element, (first + j) * ld + c);
        write_element(y, y_element, int64_t(block_x()) * y_ld + width + c, sum);
    }
}
REGISTER_KERNEL(fusion_attention);
