// Tiles of keys, values or queries in shared memory, and what the products of attention make of them: f16 or bf16
// elements, or the int8 of the key-value cache with one scale for each position (kernels/README.md). Where only bits
// are moved, f16 stands for any 2 bytes.
#pragma once

#include "weight_tiles.cuh"

/// Positions of a page of the key-value cache.
constexpr int kPage = 64;

/// What the number of a 16-byte chunk is exchanged with in a row of a tile [rows, Width] in shared memory, so that
/// eight consecutive rows of one chunk lie in different banks.
template <int Width>
DEVICE constexpr int chunk_mask(int row) {
    constexpr int kChunks = Width / 8;
    return row / (kChunks < 8 ? 8 / kChunks : 1) % (kChunks < 8 ? kChunks : 8);
}
/// Index of the first of 8 halves in such a tile.
template <int Width>
DEVICE int tile_index(int row, int chunk) {
    return row * Width + (chunk ^ chunk_mask<Width>(row)) * 8;
}

/// The same where lanes store 8 bytes of two neighbouring chunks at a time: those of four rows lie in different banks.
template <int Width>
DEVICE int wide_tile_index(int row, int chunk) {
    constexpr int kChunks = Width / 8, kRowsOfLine = kChunks < 8 ? 8 / kChunks : 1;
    constexpr int kPairs = (kChunks < 8 ? kChunks : 8) / 2;
    return row * Width + (chunk ^ row / kRowsOfLine % kPairs * 2) * 8;
}

/// Copies 8 halves to shared memory, zeros from `count` on. aligned: source is 16-byte aligned and count a multiple of
/// 8: the copy is asynchronous; else it goes element by element. Either way it is there after cp_async_commit,
/// cp_async_wait and a barrier.
DEVICE void load_chunk(f16* destination, const f16* source, int count, bool aligned) {
    if (aligned) {
        cp_async16(destination, source, count > 0 ? 16 : 0);
    } else {
#pragma unroll 1
        for (int i = 0; i < 8; i++) sts(destination + i, i < count ? ldg(source + i) : f16{0});
    }
}

/// Copies a tile [Rows, Width] to shared memory by Threads threads, as load_chunk does: row i < rows begins ld halves
/// behind the one before and has head_dim halves, all else is zero. Copies = 2: a second tile behind the first from
/// source + second.
template <int Width, int Rows, int Threads, int Copies>
DEVICE void load_tiles(f16* tile, const f16* source, int64_t second, int ld, int rows, int head_dim, int thread) {
    constexpr int kChunks = Width / 8, kStep = Threads / kChunks;
    static_assert(Rows % kStep == 0, "every thread copies equally much");
    const int row = thread / kChunks, chunk = thread % kChunks, at = tile_index<Width>(row, chunk);
    source += int64_t(row) * ld + chunk * 8;
#pragma unroll
    for (int step = 0; step < Rows; step += kStep) {
        // row < kStep: the bits of the two do not meet.
        f16* destination = tile + (at ^ chunk_mask<Width>(step) * 8) + step * Width;
        const int count = row + step < rows ? head_dim - chunk * 8 : 0;
        load_chunk(destination, source, count, head_dim % 8 == 0);
        if (Copies == 2) load_chunk(destination + Rows * Width, source + second, count, head_dim % 8 == 0);
        source += int64_t(kStep) * ld;
    }
}

/// Keys and values of T, f16 or bf16. Everything here and in Int8Tiles is of one lane, with g = lane / 4 and
/// t = lane % 4; Element is the type of queries and weights.
template <typename T>
struct PlainTiles {
    using Element = T;
    static constexpr bool kScaled = false;
    /// Columns side by side that a lane holds of a query or an output.
    static constexpr int kRun = 2;
    /// Halves that so many elements of a row take.
    DEVICE static constexpr int halves(int elements) { return elements; }
    /// Halves of a position of one head in the cache.
    DEVICE static int cache_line(int head_dim) { return head_dim; }
    /// Column of the pair query[k][i], less 16 k.
    DEVICE static int query_column(int i, int t) { return i / 2 * 8 + 2 * t; }

    /// p [16, 16 keys] += query [16, the columns of 32 bytes from step k on] keys, which ldmatrix_x4 read as b.
    template <int P, int Q>
    DEVICE static void multiply_keys(float (&p)[P][4], int j, const uint32_t (&query)[Q][4], int k,
                                     const uint32_t (&b)[4]) {
        const uint32_t low[2] = {b[0], b[1]}, high[2] = {b[2], b[3]};
        mma<T>(p[2 * j], query[k], low);
        mma<T>(p[2 * j + 1], query[k], high);
    }
    /// output += a [16, 16 keys] values [16, the columns of 32 bytes from chunk c on], which ldmatrix_x4_trans read.
    template <int N>
    DEVICE static void multiply_values(float (&output)[N][4], int c, const uint32_t (&a)[4], const uint32_t (&b)[4]) {
        const uint32_t low[2] = {b[0], b[1]}, high[2] = {b[2], b[3]};
        mma<T>(output[c], a, low);
        mma<T>(output[c + 1], a, high);
    }

    /// Column of pair j of a row of the output, and the pair; r = 1: of row g + 8.
    DEVICE static int pair_column(int j, int t) { return 8 * j + 2 * t; }
    template <int N>
    DEVICE static f32x2 pair(const float (&output)[N][4], int j, int r) {
        return f32x2{output[j][2 * r], output[j][2 * r + 1]};
    }
};

using F16Tiles = PlainTiles<f16>;
using BF16Tiles = PlainTiles<bf16>;

/// Keys and values of int8, stored as value + 128: a half cannot be told from two of them, so a tile is one of halves
/// half as wide. The lane's 4 bytes of a matrix become two operands, exactly; the order of columns is theirs:
/// keys: bytes 4t … 4t + 3 of key g are the columns 2t, 2t + 1, 2t + 8, 2t + 9 of a step of 16, so the query lies in
/// this order; values: bytes 2g, 2g + 1 of positions 2t, 2t + 1 are column g of two tiles of output.
struct Int8Tiles {
    using Element = f16;
    static constexpr bool kScaled = true;
    static constexpr int kRun = 4;
    DEVICE static constexpr int halves(int elements) { return elements / 2; }
    /// Lines of the cache are whole chunks of 16 bytes, so that there is one way to read them.
    DEVICE static int cache_line(int head_dim) { return ceil_div(head_dim, 16) * 8; }
    DEVICE static int query_column(int i, int t) { return 4 * t + i / 2 * 2; }

    template <int P, int Q>
    DEVICE static void multiply_keys(float (&p)[P][4], int j, const uint32_t (&query)[Q][4], int k,
                                     const uint32_t (&b)[4]) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const uint32_t low[2] = {widen_bytes(b[i], 0x4140), widen_bytes(b[i], 0x4342)};
            const uint32_t high[2] = {widen_bytes(b[i + 2], 0x4140), widen_bytes(b[i + 2], 0x4342)};
            mma_f16(p[2 * j], query[2 * k + i], low);
            mma_f16(p[2 * j + 1], query[2 * k + i], high);
        }
    }
    template <int N>
    DEVICE static void multiply_values(float (&output)[N][4], int c, const uint32_t (&a)[4], const uint32_t (&b)[4]) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const uint32_t even[2] = {widen_bytes(b[2 * i], 0x4240), widen_bytes(b[2 * i + 1], 0x4240)};
            const uint32_t odd[2] = {widen_bytes(b[2 * i], 0x4341), widen_bytes(b[2 * i + 1], 0x4341)};
            mma_f16(output[2 * (c + i)], a, even);
            mma_f16(output[2 * (c + i) + 1], a, odd);
        }
    }

    DEVICE static int pair_column(int j, int t) { return j / 2 * 16 + 4 * t + j % 2 * 2; }
    template <int N>
    DEVICE static f32x2 pair(const float (&output)[N][4], int j, int r) {
        return f32x2{output[j / 2 * 2][2 * r + j % 2], output[j / 2 * 2 + 1][2 * r + j % 2]};
    }
};

/// Halves of a stage: a tile [Rows, Width] of keys, one of values, then Rows scales (float32) of each.
template <typename Tiles, int Width, int Rows>
DEVICE constexpr int stage_halves() {
    return 2 * Rows * (Tiles::halves(Width) + (Tiles::kScaled ? 2 : 0));
}

/// Halves from a head of a page of the cache to the next: 64 positions and the scales behind them.
template <typename Tiles>
DEVICE int head_halves(int head_dim) {
    return kPage * (Tiles::cache_line(head_dim) + (Tiles::kScaled ? 2 : 0));
}

/// Copies positions row … row + Rows - 1 of a page to a stage, zeros from the valid-th on. keys, values: of page 0;
/// head: page * kv_heads + kv_head.
template <typename Tiles, int Width, int Rows, int Threads>
DEVICE void load_positions(f16* stage, const f16* keys, const f16* values, int64_t head, int row, int valid,
                           int head_dim, int thread) {
    constexpr int kTile = Rows * Tiles::halves(Width);
    const int line = Tiles::cache_line(head_dim);
    const int64_t begin = head * head_halves<Tiles>(head_dim);
    // Without scales the same, in fewer registers.
    const int64_t at = Tiles::kScaled ? begin + row * line : (head * kPage + row) * line;
    load_tiles<Tiles::halves(Width), Rows, Threads, 1>(stage, keys + at, 0, line, valid, line, thread);
    load_tiles<Tiles::halves(Width), Rows, Threads, 1>(stage + kTile, values + at, 0, line, valid, line, thread);
    if constexpr (Tiles::kScaled) {
        // 16 bytes are the scales of 4 positions.
        if (thread < Rows / 2) {
            const int position = thread % (Rows / 4) * 4;
            const f16* scales = (thread < Rows / 4 ? keys : values) + begin + kPage * line + 2 * row;
            cp_async16(stage + 2 * kTile + thread * 8, scales + 2 * position,
                       4 * minimum(maximum(valid - position, 0), 4));
        }
    }
}
