// Pieces of the attention kernels: tiles of keys, values or queries in shared memory, and 16 query rows of one warp
// with their running softmax. Nothing of size queries x keys leaves the registers.
#pragma once

#include "warp.cuh"

/// Positions of a page of the key-value cache.
constexpr int kPage = 64;

/// Element types of activations, as C# numbers them.
constexpr int kElementF32 = 0;
constexpr int kElementF16 = 1;

/// Writes element `index` of an activation.
DEVICE void store_element(void* output, int64_t index, int element, float value) {
    if (element == kElementF32) {
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

/// Index of the first of 8 halves in a tile [rows, Width] in shared memory. The 16-byte chunks of each 128 bytes are
/// exchanged so that eight consecutive rows of one chunk lie in different banks.
template <int Width>
DEVICE int tile_index(int row, int chunk) {
    constexpr int kChunks = Width / 8;
    constexpr int kRowsPerLine = kChunks < 8 ? 8 / kChunks : 1;
    constexpr int kMask = kChunks < 8 ? kChunks - 1 : 7;
    return row * Width + (chunk ^ (row / kRowsPerLine & kMask)) * 8;
}

/// Copies a tile [Rows, Width] to shared memory by Threads threads: row i < rows holds the head_dim halves at
/// row_at(i), all else is zero. Rows are 16-byte aligned if head_dim is a multiple of 8: then the copy is asynchronous;
/// else it goes element by element. Either way it is there after cp_async_commit, cp_async_wait and a barrier.
template <int Width, int Rows, int Threads, typename RowAt>
DEVICE void load_tile(f16* tile, int rows, int head_dim, int thread, RowAt row_at) {
    if (head_dim % 8 == 0) {
        constexpr int kChunks = Width / 8;
#pragma unroll
        for (int begin = 0; begin < Rows * kChunks; begin += Threads) {
            const int i = begin + thread;
            if (Rows * kChunks % Threads != 0 && i >= Rows * kChunks) break;
            const int row = i / kChunks, chunk = i % kChunks;
            const bool inside = row < rows && chunk * 8 < head_dim;
            const f16* source = row_at(inside ? row : 0) + (inside ? chunk * 8 : 0);
            cp_async16(tile + tile_index<Width>(row, chunk), source, inside ? 16 : 0);
        }
    } else {
        for (int i = thread; i < Rows * Width; i += Threads) {
            const int row = i / Width, column = i % Width;
            const f16 value = row < rows && column < head_dim ? ldg(row_at(row) + column) : f16{0};
            sts(tile + tile_index<Width>(row, column / 8) + column % 8, value);
        }
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

    /// Takes in rows first … first + Keys - 1 of the tiles of keys and values. scale: of the scores, times log2(e). If
    /// Masked, row g sees only the first visible[0] of them and row g + 8 the first visible[1].
    template <int Keys, bool Masked>
    DEVICE void attend(const f16* keys, const f16* values, int first, float scale, int visible0, int visible1) {
        const int lane = lane_id();
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
                const int row = first + 16 * j + lane / 16 * 8 + lane % 8;
                ldmatrix_x4(b, keys + tile_index<Width>(row, 2 * k + lane / 8 % 2));
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
                ldmatrix_x4_trans(b, values + tile_index<Width>(first + 16 * j + lane % 16, c + lane / 16));
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

/// Takes in a tile of Keys rows. Rows g and g + 8 of the warp see its first visible0 and visible1; `all` of them are
/// seen by every row of the warp, `any` by one at least. A full tile goes at once; an edge goes in steps of 16 keys, so
/// that hardly more than what is seen is computed.
template <int Width, int Keys>
DEVICE void attend_tile(QueryRows<Width>& state, const f16* keys, const f16* values, float scale, int visible0,
                        int visible1, int all, int any) {
    if (all >= Keys) {
        state.template attend<Keys, false>(keys, values, 0, scale, 0, 0);
    } else {
#pragma unroll 1
        for (int first = 0; first < minimum(any, Keys); first += 16) {
            state.template attend<16, true>(keys, values, first, scale, visible0 - first, visible1 - first);
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
    if (element == kElementF32) {
        float* destination = static_cast<float*>(output);
#pragma unroll
        for (int c = 0; c < Width / 8; c++) {
#pragma unroll
            for (int r = 0; r < 2; r++) {
                const int row = g + 8 * r, column = 8 * c + 2 * t;
                if (row >= rows || column >= head_dim) continue;
                const f32x2 pair = {state.output[c][2 * r] * inverse[r], state.output[c][2 * r + 1] * inverse[r]};
                float* at = destination + row_at(row) + column;
                if (head_dim % 2 == 0) {
                    stg(reinterpret_cast<f32x2*>(at), pair);
                } else {
                    stg(at, pair.x);
                    if (column + 1 < head_dim) stg(at + 1, pair.y);
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
        for (int i = lane; i < 16 * (Width / 8); i += kWarp) {
            const int row = i / (Width / 8), chunk = i % (Width / 8);
            if (row >= rows || chunk * 8 >= head_dim) continue;
            const u32x4 value = lds(reinterpret_cast<const u32x4*>(tile + tile_index<Width>(row, chunk)));
            stg(reinterpret_cast<u32x4*>(destination + row_at(row) + chunk * 8), value);
        }
    } else {
        for (int i = lane; i < 16 * Width; i += kWarp) {
            const int row = i / Width, column = i % Width;
            if (row >= rows || column >= head_dim) continue;
            stg(destination + row_at(row) + column, lds(tile + tile_index<Width>(row, column / 8) + column % 8));
        }
    }
}
