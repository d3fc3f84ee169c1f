// Pieces of the attention kernels: tiles of keys, values or queries in shared memory, and 16 query rows of one warp
// with their running softmax. Nothing of size queries x keys leaves the registers.
#pragma once

#include "warp.cuh"

/// Positions of a page of the key-value cache.
constexpr int kPage = 64;

/// Blocks of four warps of width 128 and tiles of 32 keys (32 KB of shared memory) that a multiprocessor holds.
#if !LSP_EMULATOR && defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
constexpr int kBlocks128 = 2;
#else
constexpr int kBlocks128 = 3;
#endif

/// Element type of an output, as C# numbers them; 1 is f16.
constexpr int kOutputF32 = 0;

/// Writes element `index` of an activation.
DEVICE void store_output(void* output, int64_t index, int element, float value) {
    if (element == kOutputF32) {
        stg(static_cast<float*>(output) + index, value);
    } else {
        stg(static_cast<f16*>(output) + index, to_f16(value));
    }
}

/// What a score becomes that a query may not see.
DEVICE float minus_infinity() { return -__builtin_huge_valf(); }

#if LSP_EMULATOR
/// The larger one; of a number and NaN the number.
DEVICE float larger(float a, float b) { return a > b || b != b ? a : b; }
#else
DEVICE float larger(float a, float b) { return fmaxf(a, b); }
#endif

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

/// 16 query rows of one warp. With g = lane / 4 a lane holds parts of rows g and g + 8, as the operands of mma_f16 lie.
template <int Width>
struct QueryRows {
    uint32_t query[Width / 16][4];
    float output[Width / 8][4];  // not divided by sum
    float top[2];                // largest score so far, not scaled
    float sum[2];                // of this lane's columns until finish_sum()

    DEVICE void clear() {
#pragma unroll
        for (int j = 0; j < Width / 8; j++) {
#pragma unroll
            for (int e = 0; e < 4; e++) output[j][e] = 0;
        }
        top[0] = top[1] = minus_infinity();
        sum[0] = sum[1] = 0;
    }

    /// Reads the queries from rows first_row … + 15 of a tile.
    DEVICE void load_queries(const f16* tile, int first_row) {
        const int lane = lane_id();
#pragma unroll
        for (int k = 0; k < Width / 16; k++) {
            ldmatrix_x4(query[k], tile + tile_index<Width>(first_row + lane % 16, 2 * k + lane / 16));
        }
    }

    /// Takes in Keys keys and values: rows of `tiles` from the elements `keys` and `values` on, which begin rows that
    /// are multiples of 16. scale: of the scores, times log2(e). If Masked, row g sees only the first visible0 of them
    /// and row g + 8 the first visible1.
    template <int Keys, bool Masked>
    DEVICE void attend(const f16* tiles, int keys, int values, float scale, int visible0, int visible1) {
        // This lane's rows of ldmatrix. Steps along a row exchange bits of the chunk, steps of 16 rows only add.
        const int lane = lane_id();
        const int key_at = keys + tile_index<Width>(lane / 16 * 8 + lane % 8, lane / 8 % 2);
        const int value_at = values + tile_index<Width>(lane % 16, lane / 16);
        float p[Keys / 8][4];
#pragma unroll
        for (int j = 0; j < Keys / 8; j++) {
#pragma unroll
            for (int e = 0; e < 4; e++) p[j][e] = 0;
        }
#pragma unroll
        for (int k = 0; k < Width / 16; k++) {
#pragma unroll
            for (int j = 0; j < Keys / 16; j++) {
                uint32_t b[4];
                ldmatrix_x4(b, tiles + (key_at ^ 16 * k) + 16 * j * Width);
                const uint32_t low[2] = {b[0], b[1]}, high[2] = {b[2], b[3]};
                mma_f16(p[2 * j], query[k], low);
                mma_f16(p[2 * j + 1], query[k], high);
            }
        }
        if (Masked) {
#pragma unroll
            for (int j = 0; j < Keys / 8; j++) {
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    const int key = 8 * j + lane % 4 * 2 + e % 2;
                    if (key >= (e < 2 ? visible0 : visible1)) p[j][e] = minus_infinity();
                }
            }
        }
        softmax(p, scale);
#pragma unroll
        for (int j = 0; j < Keys / 16; j++) {
            // The sums of one product lie as the left operand of the next one does.
            const uint32_t a[4] = {to_f16x2(p[2 * j][0], p[2 * j][1]).bits, to_f16x2(p[2 * j][2], p[2 * j][3]).bits,
                                   to_f16x2(p[2 * j + 1][0], p[2 * j + 1][1]).bits,
                                   to_f16x2(p[2 * j + 1][2], p[2 * j + 1][3]).bits};
#pragma unroll
            for (int c = 0; c < Width / 8; c += 2) {
                uint32_t b[4];
                ldmatrix_x4_trans(b, tiles + (value_at ^ 8 * c) + 16 * j * Width);
                const uint32_t low[2] = {b[0], b[1]}, high[2] = {b[2], b[3]};
                mma_f16(output[c], a, low);
                mma_f16(output[c + 1], a, high);
            }
        }
    }

    /// Scores become weights relative to the largest so far; what was summed before is brought to the same scale.
    template <int Tiles>
    DEVICE void softmax(float (&p)[Tiles][4], float scale) {
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float largest = top[r];
#pragma unroll
            for (int j = 0; j < Tiles; j++) largest = larger(largest, larger(p[j][2 * r], p[j][2 * r + 1]));
            largest = larger(largest, shuffle_xor(largest, 1));
            largest = larger(largest, shuffle_xor(largest, 2));
            // A row that has seen nothing yet: any finite base will do. The difference is taken before the scale, so
            // that the largest weight is exactly 1 however large the scores are.
            const float base = largest == minus_infinity() ? 0 : largest;
            const float shrink = exp2_fast((top[r] - base) * scale);
            top[r] = largest;
            float total = 0;
#pragma unroll
            for (int j = 0; j < Tiles; j++) {
                p[j][2 * r] = exp2_fast((p[j][2 * r] - base) * scale);
                p[j][2 * r + 1] = exp2_fast((p[j][2 * r + 1] - base) * scale);
                total += p[j][2 * r] + p[j][2 * r + 1];
            }
            sum[r] = sum[r] * shrink + total;
#pragma unroll
            for (int c = 0; c < Width / 8; c++) {
                output[c][2 * r] *= shrink;
                output[c][2 * r + 1] *= shrink;
            }
        }
    }

    /// Afterwards every lane has the sums of its rows.
    DEVICE void finish_sum() {
#pragma unroll
        for (int r = 0; r < 2; r++) {
            sum[r] += shuffle_xor(sum[r], 1);
            sum[r] += shuffle_xor(sum[r], 2);
        }
    }
};

/// Takes in a tile of Keys keys and one of values, elements `keys` and `values` of tiles. Rows g and g + 8 of the warp
/// see its first visible0 and visible1, the later row never less. A tile that all rows see goes at once; an edge goes
/// in steps of 16 keys, so that hardly more than what is seen is computed.
template <int Width, int Keys>
DEVICE void attend_tile(QueryRows<Width>& state, const f16* tiles, int keys, int values, float scale, int visible0,
                        int visible1) {
    const int all = shuffle(visible0, 0), any = shuffle(visible1, kWarp - 1);
    if (all >= Keys) {
        state.template attend<Keys, false>(tiles, keys, values, scale, 0, 0);
    } else {
#pragma unroll 1
        for (int first = 0; first < minimum(any, Keys); first += 16) {
            state.template attend<16, true>(tiles, keys + first * Width, values + first * Width, scale,
                                            visible0 - first, visible1 - first);
        }
    }
}

/// Divides the warp's 16 rows by their sums and writes the first `rows`: the head_dim elements of row i begin at
/// element row_at(i) of output (a multiple of 8 if head_dim is one). tile: [16, Width] halves of shared memory of this
/// warp's own.
template <int Width, typename RowAt>
DEVICE void store_rows(QueryRows<Width>& state, f16* tile, int rows, int head_dim, void* output, int element,
                       RowAt row_at) {
    const int lane = lane_id(), g = lane / 4, t = lane % 4;
    state.finish_sum();
    const float inverse[2] = {1 / state.sum[0], 1 / state.sum[1]};
    if (element == kOutputF32) {
#pragma unroll
        for (int r = 0; r < 2; r++) {
            if (g + 8 * r >= rows) continue;
            float* destination = static_cast<float*>(output) + row_at(g + 8 * r) + 2 * t;
#pragma unroll
            for (int c = 0; c < Width / 8; c++) {
                const int left = head_dim - 8 * c - 2 * t;
                if (left <= 0) continue;
                const f32x2 pair = {state.output[c][2 * r] * inverse[r], state.output[c][2 * r + 1] * inverse[r]};
                if (head_dim % 2 == 0) {
                    stg(reinterpret_cast<f32x2*>(destination + 8 * c), pair);
                } else {
                    stg(destination + 8 * c, pair.x);
                    if (left > 1) stg(destination + 8 * c + 1, pair.y);
                }
            }
        }
        return;
    }
    f16* destination = static_cast<f16*>(output);
#pragma unroll
    for (int c = 0; c < Width / 8; c++) {
#pragma unroll
        for (int r = 0; r < 2; r++) {
            const f16x2 pair = to_f16x2(state.output[c][2 * r] * inverse[r], state.output[c][2 * r + 1] * inverse[r]);
            sts(reinterpret_cast<f16x2*>(tile + tile_index<Width>(g + 8 * r, c) + 2 * t), pair);
        }
    }
    warp_barrier();
    if (head_dim % 8 == 0) {
#pragma unroll 1
        for (int i = lane; i < 16 * (Width / 8); i += kWarp) {
            const int row = i / (Width / 8), chunk = i % (Width / 8);
            if (row >= rows || chunk * 8 >= head_dim) continue;
            const u32x4 value = lds(reinterpret_cast<const u32x4*>(tile + tile_index<Width>(row, chunk)));
            stg(reinterpret_cast<u32x4*>(destination + row_at(row) + chunk * 8), value);
        }
    } else {
#pragma unroll 1
        for (int i = lane; i < 16 * Width; i += kWarp) {
            const int row = i / Width, column = i % Width;
            if (row >= rows || column >= head_dim) continue;
            stg(destination + row_at(row) + column, lds(tile + tile_index<Width>(row, column / 8) + column % 8));
        }
    }
}
