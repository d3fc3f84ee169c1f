// conv_CM of the detail fusion (DFI): k x k with a stride over the grid, as an implicit GEMM. Called by
// CudaBackend.DetailFusion; fusion_normalise (detail_fusion.cu) adds what the splits leave.
//
//   features  [tiles * grid * grid, d]           float32, f16 or bf16; become the type of the weights, for integers f16
//   weights   [width, k*k*d]                     packed; columns position-major, channel-minor
//   partial   [splits][tiles * positions][width] float32; positions = side * side, side = (grid - k) / stride + 1
//
// Weights are the left operand, positions the columns of the mma (32 in a pass: a picture of 25; 64: two pictures of
// 25). Two forms of staging x in shared memory:
// - cells (d a multiple of 64): kernel rows and columns of one residue modulo the stride look only at cells of that
//   residue, so a stage is 64 channels of the cells of one class: 144 of 576, read once, in which every position of the
//   class finds its windows; no im2col anywhere. Cells of a row begin `pitch` cells apart, pitch = side modulo 8, so
//   that position p lies p cells (modulo 8) from its window's first: 8 rows of an ldmatrix never share a bank.
// - columns (any d): a stage is 256 columns of the windows of 32 positions, gathered.
// Stages are split over blocks in y; x counts blocks of 128 rows of weights, and within them passes over the positions,
// so that neighbours want the same weights or the same features while the second cache has them. A row tile belongs to
// two warps, which take every other quad (64 columns) and are added in the end. The splits' partial sums are bounded
// (below 5 % of the bytes of the weights) and added in order: the same bits in every run.
//
// 7B case: k 16, stride 2, grid 24, d 1024, width 512, 25 positions: 134 M weights, each read once.
//   bytes: f16 and bf16 268 MB, int8 136 MB, int4 69 MB (group 128, with scales), features 1.2 MB (f16), partial sums
//   of 32 splits, written and read (3.3 MB). The features are read by each of 4 blocks of rows, out of the second cache
//   but for the first.
//   Operations: 6.7 G (8.6 G with the empty columns).
//   floor: RTX 4090 (1,008 GB/s, 165 TFLOP/s) 0.27 / 0.14 / 0.07 ms; Jetson AGX Orin (204 GB/s) 1.3 / 0.67 / 0.34 ms.
// Occupancy: 128 blocks of 16 warps (64 columns: 8), one for each SM of the RTX 4090, a third of its warps: more blocks
// would raise the partial sums above their bound. A warp has 1 to 2 KB of weights under way, 16 to 32 KB for each SM,
// where 6 KB would do.
#include "common/elements.cuh"
#include "common/weight_stream.cuh"

namespace {

constexpr int kRowTiles = 8;  // of a block, each with two warps
constexpr int kGeometryBytes = 128;
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
template <int ColumnTiles>
struct CellStages {
    static constexpr int kColumnTiles = ColumnTiles;
    static constexpr int kColumns = ColumnTiles * 8;               // most positions of a pass
    static constexpr int kWarpsOfRows = ColumnTiles == 8 ? 1 : 2;  // that share a row tile
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
        // Columns without a position read some cell, in a bank of their own; nobody uses their sums.
        if (column >= columns) return minimum(column % 8, (shape.side - 1) * (pitch + 1)) * kCellBytes;
        const int tile = column / shape.positions(), position = column % shape.positions();
        return (tile * tile_cells + position / shape.side * pitch + position % shape.side) * kCellBytes;
    }

    /// Most quads of a stage.
    DEVICE int most() const {
        const int rows_of_first = ceil_div(shape.kernel, shape.stride);
        return rows_of_first * rows_of_first;
    }

    /// Takes up a stage; its number of quads.
    DEVICE int begin(int stage) {
        const int residue = stage / chunks;
        chunk = stage % chunks;
        top = residue / residues;
        left = residue % residues;
        rows = ceil_div(shape.kernel - top, shape.stride);
        across = ceil_div(shape.kernel - left, shape.stride);
        return rows * across;
    }

    template <int Kind>
    DEVICE void fill(unsigned char* stage, int first_column) const {
        const int high = shape.side + rows - 1, wide = shape.side + across - 1, cells = high * wide;
        const int tile0 = first_column / shape.positions();
        const int tiles = minimum(columns / shape.positions(), shape.tiles - tile0);
#pragma unroll 1
        for (int item = thread_x(); item < tiles * cells * 8; item += block_threads()) {
            const int eight = item % 8, cell = item / 8 % cells, tile = item / 8 / cells;
            const int y = cell / wide, x = cell % wide;
            const int from =
                ((tile0 + tile) * shape.grid + top + y * shape.stride) * shape.grid + left + x * shape.stride;
            float values[8] = {0, 0, 0, 0, 0, 0, 0, 0};
            add_8_elements(values, shape.features, shape.element,
                           int64_t(from) * shape.ld + chunk * kQuadColumns + eight * 8);
            stage_eight<Kind>(stage + (tile * tile_cells + y * pitch + x) * kCellBytes, eight,
                              to_8_halves<WeightOperand<Kind>>(values));
        }
    }

    /// Quad `index` of the stage: its place in a row of the weights, and the bytes from the channels of quad 0 to its.
    DEVICE u32x2 quad(int index) const {
        const int y = index / across, x = index % across;
        const int position = (top + y * shape.stride) * shape.kernel + left + x * shape.stride;
        return u32x2{uint32_t(position * chunks + chunk), uint32_t((y * pitch + x) * kCellBytes)};
    }
};

/// Form "columns": a stage is 4 quads of the windows of all positions of a pass.
struct ColumnStages {
    static constexpr int kColumnTiles = 4;
    static constexpr int kColumns = kColumnTiles * 8;
    static constexpr int kWarpsOfRows = 2;
    Shape shape;
    int columns = kColumns;
    int first = 0;

    DEVICE explicit ColumnStages(const Shape& s) : shape(s) {}

    DEVICE int count() const { return ceil_div(shape.quads(), kStageQuads); }
    DEVICE int column_offset(int column) const { return column * kRowBytes; }
    DEVICE int most() const { return kStageQuads; }

    DEVICE int begin(int stage) {
        first = stage * kStageQuads;
        return minimum(kStageQuads, shape.quads() - first);
    }

    template <int Kind>
    DEVICE void fill(unsigned char* stage, int first_column) const {
        const int all = shape.kernel * shape.kernel * shape.d, total = shape.tiles * shape.positions();
#pragma unroll 1
        for (int item = thread_x(); item < kColumns * kStageQuads * 8; item += block_threads()) {
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
            stage_eight<Kind>(stage + column * kRowBytes, eight, to_8_halves<WeightOperand<Kind>>(values));
        }
    }

    DEVICE u32x2 quad(int index) const { return u32x2{uint32_t(first + index), uint32_t(index * kQuadColumns * 2)}; }

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
    constexpr int kColumnTiles = Stages::kColumnTiles;
    constexpr int kShare = Stages::kWarpsOfRows;
    constexpr int kBatch = kWeightScaled<Kind> ? 2 : 1;  // quads whose weights are loaded before their products
    // Shared memory: the geometry, which need not occupy registers between its uses; where the quads of a stage are,
    // worked out by one thread each; the stage.
    static_assert(sizeof(Stages) <= kGeometryBytes, "no room for the geometry");
    Stages* geometry = reinterpret_cast<Stages*>(shared_memory());
    if (thread_x() == 0) *geometry = Stages(shape);
    barrier();
    u32x2* table = reinterpret_cast<u32x2*>(shared_memory() + kGeometryBytes);
    unsigned char* shared = shared_memory() + kGeometryBytes + ceil_div(geometry->most(), 2) * 16;
    const int lane = lane_id(), half = warp_id() / kRowTiles;
    const int passes = grid_x() / ceil_div(shape.width, kRowTiles * 16);
    const int row_tile = block_x() / passes * kRowTiles + warp_id() % kRowTiles;
    const bool active = row_tile * 16 < shape.width;
    const int first_column = block_x() % passes * geometry->columns, quads = shape.quads();
    const ScaleTable scale_table = ScaleTable::of(scales, group, quads);

    int windows[kColumnTiles];  // bytes into shared memory
#pragma unroll
    for (int n = 0; n < kColumnTiles; n++) windows[n] = geometry->column_offset(n * 8 + lane % 8) + lane / 8 * 16;

    float sums[kColumnTiles][4] = {};
    const int begin = int(int64_t(geometry->count()) * block_y() / grid_y());
    const int end = int(int64_t(geometry->count()) * (block_y() + 1) / grid_y());
#pragma unroll 1
    for (int stage = begin; stage < end; stage++) {
        barrier();  // the stage before has been used
        Stages stages = *geometry;
        const int count = stages.begin(stage);
        stages.template fill<Kind>(shared, first_column);
        for (int i = thread_x(); i < count; i += block_threads()) sts(table + i, stages.quad(i));
        barrier();
        if (!active) continue;
#pragma unroll 1
        for (int index = half; index < count; index += kShare * kBatch) {
            u32x4 loads[kBatch][kQuadLoads<Kind>] = {};
            QuadScales batch_scales[kBatch] = {};
            int offsets[kBatch] = {};
#pragma unroll
            for (int i = 0; i < kBatch; i++) {
                if (index + kShare * i >= count) continue;
                const u32x2 entry = lds(table + index + kShare * i);
                const int quad = int(entry.x);
                offsets[i] = int(entry.y);
                const u32x4* at = quad_address<Kind>(packed, row_tile, quads, quad);
#pragma unroll
                for (int l = 0; l < kQuadLoads<Kind>; l++) loads[i][l] = ldg_stream(at + l * kWarp);
                if (kWeightScaled<Kind>) batch_scales[i] = scale_table.load(row_tile, quad);
            }
#pragma unroll
            for (int i = 0; i < kBatch; i++) {
                if (index + kShare * i >= count) continue;
                const int offset = offsets[i];
                const auto right = [&windows, shared, offset](int n, int half_of_quad, uint32_t(&b)[4]) {
                    ldmatrix_x4(b, shared + windows[n] + offset + half_of_quad * 64);
                };
                multiply_quad<Kind, kColumnTiles>(sums, loads[i], batch_scales[i], right);
            }
        }
    }

    // The second warp of a row tile hands its sums to the first: [row tile][sum][lane].
    if constexpr (kShare == 2) {
        barrier();
        float* handed = reinterpret_cast<float*>(shared) + warp_id() % kRowTiles * (kColumnTiles * 4 * kWarp) + lane;
#pragma unroll
        for (int i = 0; i < kColumnTiles * 4; i++) {
            if (half == 1) sts(handed + i * kWarp, sums[i / 4][i % 4]);
        }
        barrier();
#pragma unroll
        for (int i = 0; i < kColumnTiles * 4; i++) {
            if (half == 0) sums[i / 4][i % 4] += lds(handed + i * kWarp);
        }
    }
    if (half == 1 || !active) return;
    const int total = shape.tiles * shape.positions();
#pragma unroll
    for (int i = 0; i < kColumnTiles * 4; i++) {
        const int column = i / 4 * 8 + lane % 4 * 2 + i % 2, row = row_tile * 16 + lane / 4 + i % 4 / 2 * 8;
        if (column < geometry->columns && first_column + column < total && row < shape.width) {
            stg(partial + (int64_t(block_y()) * total + first_column + column) * shape.width + row, sums[i / 4][i % 4]);
        }
    }
}

}  // namespace

// 512 threads, cells64 256; grid (passes * (width / 128 rounded up), splits); a pass is 32 columns (cells64: 64), for
// cells as many of them as make whole tiles. Shared memory: 128 bytes, 8 bytes for each quad of a stage (an even
// number), and then the larger of a stage and 16,384 bytes; a stage is 32 * 528 bytes, or for cells 144 bytes times the
// cells (CellStages: tile_cells) of the tiles of a pass.
#define FUSION_CONV(name, kind, stages)                                                                              \
    KERNEL(name, kRowTiles* kWarp* stages::kWarpsOfRows, 1)                                                          \
    (float* partial, const void* features, const u32x4* packed, const f16x2* scales, int group, int element, int ld, \
     int tiles, int grid, int d, int kernel, int stride, int side, int width) {                                      \
        fusion_conv<kind, stages>(partial, packed, scales, group,                                                    \
                                  Shape{features, element, ld, tiles, grid, d, kernel, stride, side, width});        \
    }                                                                                                                \
    REGISTER_KERNEL(name)

FUSION_CONV(fusion_conv_cells32_f16, kWeightF16, CellStages<4>);
FUSION_CONV(fusion_conv_cells32_int8, kWeightInt8, CellStages<4>);
FUSION_CONV(fusion_conv_cells32_int8mma, kWeightInt8Mma, CellStages<4>);
FUSION_CONV(fusion_conv_cells32_int4, kWeightInt4, CellStages<4>);
FUSION_CONV(fusion_conv_cells32_bf16, kWeightBF16, CellStages<4>);
FUSION_CONV(fusion_conv_cells64_f16, kWeightF16, CellStages<8>);
FUSION_CONV(fusion_conv_cells64_int8, kWeightInt8, CellStages<8>);
FUSION_CONV(fusion_conv_cells64_int8mma, kWeightInt8Mma, CellStages<8>);
FUSION_CONV(fusion_conv_cells64_int4, kWeightInt4, CellStages<8>);
FUSION_CONV(fusion_conv_cells64_bf16, kWeightBF16, CellStages<8>);
FUSION_CONV(fusion_conv_columns_f16, kWeightF16, ColumnStages);
FUSION_CONV(fusion_conv_columns_int8, kWeightInt8, ColumnStages);
FUSION_CONV(fusion_conv_columns_int8mma, kWeightInt8Mma, ColumnStages);
FUSION_CONV(fusion_conv_columns_int4, kWeightInt4, ColumnStages);
FUSION_CONV(fusion_conv_columns_bf16, kWeightBF16, ColumnStages);
