// 16 query rows of one warp with their running softmax, over tiles of keys and values in shared memory: what the
// attention kernels share. Nothing of size queries x keys leaves the registers.
#pragma once

#include "attention_tiles.cuh"
#include "elements.cuh"

/// Blocks of four warps of width 128 and tiles of 32 keys (32 KB of shared memory) that a multiprocessor holds.
#if !LSP_EMULATOR && defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
constexpr int kBlocks128 = 2;
#else
constexpr int kBlocks128 = 3;
#endif

/// What a score becomes that a query may not see.
DEVICE float minus_infinity() { return -__builtin_huge_valf(); }

#if LSP_EMULATOR
/// The larger one; of a number and NaN the number.
DEVICE float larger(float a, float b) { return a > b || b != b ? a : b; }
#else
DEVICE float larger(float a, float b) { return fmaxf(a, b); }
#endif

/// 16 query rows of one warp. With g = lane / 4 a lane holds parts of rows g and g + 8, as the operands of mma_f16 lie.
template <int Width, typename Tiles>
struct QueryRows {
    static constexpr int kLine = Tiles::halves(Width);
    uint32_t query[Width / 16][4];
    float output[Width / 8][4];  // relative to level; not divided by sum
    float level;                 // a power of two about the largest scale of a value so far; 1 without scales
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
        level = Tiles::kScaled ? 0 : 1;
    }

    /// Reads the queries from rows first_row … + 15 of a tile.
    DEVICE void load_queries(const f16* tile, int first_row) {
        const int lane = lane_id();
#pragma unroll
        for (int k = 0; k < Width / 16; k++) {
            ldmatrix_x4(query[k], tile + tile_index<Width>(first_row + lane % 16, 2 * k + lane / 16));
        }
    }

    /// Reads the queries straight from global memory: row i begins at row_at(i); rows beyond `rows` and columns beyond
    /// head_dim, which is even, are 0.
    template <typename RowAt>
    DEVICE void read_queries(int rows, int head_dim, RowAt row_at) {
        const int g = lane_id() / 4, t = lane_id() % 4;
#pragma unroll
        for (int r = 0; r < 2; r++) {
            const f16* source = row_at(g + r * 8);
            const int columns = g + r * 8 < rows ? head_dim : 0;
            const auto pair = [&](int column) {
                return column < columns ? ldg(reinterpret_cast<const uint32_t*>(source + column)) : 0;
            };
#pragma unroll
            for (int k = 0; k < Width / 16; k++) {
                const int column = 16 * k + Tiles::query_column(0, t);
                if (Tiles::kRun == 4 && head_dim % 4 == 0) {
                    const u32x2 both =
                        column < columns ? ldg(reinterpret_cast<const u32x2*>(source + column)) : u32x2{};
                    query[k][r] = both.x;
                    query[k][r + 2] = both.y;
                } else {
                    query[k][r] = pair(column);
                    query[k][r + 2] = pair(16 * k + Tiles::query_column(2, t));
                }
            }
        }
    }

    /// Takes in keys and values first … first + Keys - 1 of the stage of Rows at stages + stage. first is a multiple of
    /// 16; scale: of the scores, times log2(e). If Masked, row g sees only the first visible0 of them and row g + 8 the
    /// first visible1.
    template <int Rows, int Keys, bool Masked>
    DEVICE void attend(const f16* stages, int stage, int first, float scale, int visible0, int visible1) {
        // This lane's rows of ldmatrix. Steps along a row exchange bits of the chunk, all others only add.
        static_assert(stage_halves<Tiles, Width, Rows>() % kLine == 0, "stages begin with whole rows");
        const int lane = lane_id();
        const int key_at = stage + first * kLine + tile_index<kLine>(lane / 16 * 8 + lane % 8, lane / 8 % 2);
        const int value_at = stage + (Rows + first) * kLine + tile_index<kLine>(lane % 16, lane / 16);
        // Of keys 2 t and 2 t + 1 of each 8, as the scores lie.
        const f16* const scales = stages + stage + 2 * (Rows * kLine + first + lane % 4 * 2);
        float p[Keys / 8][4];
#pragma unroll
        for (int j = 0; j < Keys / 8; j++) {
#pragma unroll
            for (int e = 0; e < 4; e++) p[j][e] = 0;
        }
#pragma unroll
        for (int k = 0; k < kLine / 16; k++) {
#pragma unroll
            for (int j = 0; j < Keys / 16; j++) {
                uint32_t b[4];
                ldmatrix_x4(b, stages + (key_at ^ 16 * k) + 16 * j * kLine);
                Tiles::multiply_keys(p, j, query, k, b);
            }
        }
        if constexpr (Tiles::kScaled) {
#pragma unroll
            for (int j = 0; j < Keys / 8; j++) scale_pairs(p[j], lds(reinterpret_cast<const f32x2*>(scales + 16 * j)));
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
        if constexpr (Tiles::kScaled) {
            f32x2 of_values[Keys / 8];
            float largest = 0;
#pragma unroll
            for (int j = 0; j < Keys / 8; j++) {
                of_values[j] = lds(reinterpret_cast<const f32x2*>(scales + 2 * Rows + 16 * j));
                largest = larger(largest, larger(of_values[j].x, of_values[j].y));
            }
            const float before = level, inverse = raise_level(largest);
            softmax(p, scale, before * inverse);
#pragma unroll
            for (int j = 0; j < Keys / 8; j++) {
                scale_pairs(p[j], f32x2{of_values[j].x * inverse, of_values[j].y * inverse});
            }
        } else {
            softmax(p, scale, 1);
        }
#pragma unroll
        for (int j = 0; j < Keys / 16; j++) {
            // The sums of one product lie as the left operand of the next one does.
            using To = Operand<typename Tiles::Element>;
            const uint32_t a[4] = {To::pair(p[2 * j][0], p[2 * j][1]), To::pair(p[2 * j][2], p[2 * j][3]),
                                   To::pair(p[2 * j + 1][0], p[2 * j + 1][1]),
                                   To::pair(p[2 * j + 1][2], p[2 * j + 1][3])};
#pragma unroll
            for (int c = 0; c < kLine / 8; c += 2) {
                uint32_t b[4];
                ldmatrix_x4_trans(b, stages + (value_at ^ 8 * c) + 16 * j * kLine);
                Tiles::multiply_values(output, c, a, b);
            }
        }
    }

    DEVICE static void scale_pairs(float (&p)[4], f32x2 scale) {
        p[0] *= scale.x;
        p[1] *= scale.y;
        p[2] *= scale.x;
        p[3] *= scale.y;
    }

    /// Weights times the scales of their values must fit a half: they are taken relative to level. Powers of two are
    /// exact, and so are their inverses, of which the new one is returned.
    DEVICE float raise_level(float largest) {
        largest = larger(largest, shuffle_xor(largest, 1));
        largest = larger(largest, shuffle_xor(largest, 2));
        level = larger(level, bits_to_float(float_to_bits(largest) & 0x7f800000));
        return bits_to_float(0x7f000000 - float_to_bits(level));
    }

    /// Scores become weights relative to the largest so far; what was summed before is brought to the same scale.
    /// change: what becomes of the output besides.
    template <int N>
    DEVICE void softmax(float (&p)[N][4], float scale, float change) {
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float largest = top[r];
#pragma unroll
            for (int j = 0; j < N; j++) largest = larger(largest, larger(p[j][2 * r], p[j][2 * r + 1]));
            largest = larger(largest, shuffle_xor(largest, 1));
            largest = larger(largest, shuffle_xor(largest, 2));
            // A row that has seen nothing yet: any finite base will do. The difference is taken before the scale, so
            // that the largest weight is exactly 1 however large the scores are.
            const float base = largest == minus_infinity() ? 0 : largest;
            const float shrink = exp2_fast((top[r] - base) * scale);
            top[r] = largest;
            float total = 0;
#pragma unroll
            for (int j = 0; j < N; j++) {
                p[j][2 * r] = exp2_fast((p[j][2 * r] - base) * scale);
                p[j][2 * r + 1] = exp2_fast((p[j][2 * r + 1] - base) * scale);
                total += p[j][2 * r] + p[j][2 * r + 1];
            }
            sum[r] = sum[r] * shrink + total;
#pragma unroll
            for (int c = 0; c < Width / 8; c++) {
                output[c][2 * r] *= shrink * change;
                output[c][2 * r + 1] *= shrink * change;
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

/// Takes in a stage of Keys keys and values. Rows g and g + 8 of the warp see its first visible0 and visible1, the
/// later row never less. A stage that all rows see goes at once; an edge goes in steps of 16 keys, so that hardly more
/// than what is seen is computed.
template <int Keys, int Width, typename Tiles>
DEVICE void attend_stage(QueryRows<Width, Tiles>& state, const f16* stages, int stage, float scale, int visible0,
                         int visible1) {
    const int all = shuffle(visible0, 0), any = shuffle(visible1, kWarp - 1);
    if (all >= Keys) {
        state.template attend<Keys, Keys, false>(stages, stage, 0, scale, 0, 0);
    } else {
#pragma unroll 1
        for (int first = 0; first < minimum(any, Keys); first += 16) {
            state.template attend<Keys, 16, true>(stages, stage, first, scale, visible0 - first, visible1 - first);
        }
    }
}

/// Divides the warp's 16 rows by their sums and writes the first `rows`: the head_dim elements of row i begin at
/// element row_at(i) of output (a multiple of 8 if head_dim is one). tile: [16, Width] halves of shared memory of this
/// warp's own.
template <int Width, typename Tiles, typename RowAt>
DEVICE void store_rows(QueryRows<Width, Tiles>& state, f16* tile, int rows, int head_dim, void* output, int element,
                       RowAt row_at) {
    const int lane = lane_id(), g = lane / 4, t = lane % 4;
    state.finish_sum();
    const float factor[2] = {state.level / state.sum[0], state.level / state.sum[1]};
    const auto scaled_pair = [&](int j, int r) {
        const f32x2 pair = Tiles::pair(state.output, j, r);
        return f32x2{pair.x * factor[r], pair.y * factor[r]};
    };
    if (element == kElementF32) {
#pragma unroll
        for (int r = 0; r < 2; r++) {
            if (g + 8 * r >= rows) continue;
            float* destination = static_cast<float*>(output) + row_at(g + 8 * r);
#pragma unroll
            for (int j = 0; j < Width / 8; j++) {
                const int column = Tiles::pair_column(j, t), left = head_dim - column;
                if (left <= 0) continue;
                const f32x2 pair = scaled_pair(j, r);
                if (head_dim % 2 == 0) {
                    stg(reinterpret_cast<f32x2*>(destination + column), pair);
                } else {
                    stg(destination + column, pair.x);
                    if (left > 1) stg(destination + column + 1, pair.y);
                }
            }
        }
        return;
    }
    f16* destination = static_cast<f16*>(output);
    constexpr bool kWide = Tiles::kRun == 4;
    const auto halves = [&](int j, int r) {
        const f32x2 pair = scaled_pair(j, r);
        return element == kElementBF16 ? to_bf16x2(pair.x, pair.y).bits : to_f16x2(pair.x, pair.y).bits;
    };
    const auto at = [](int row, int chunk) {
        return kWide ? wide_tile_index<Width>(row, chunk) : tile_index<Width>(row, chunk);
    };
#pragma unroll
    for (int j = 0; j < Width / 8; j += kWide ? 2 : 1) {
        const int column = Tiles::pair_column(j, t);
#pragma unroll
        for (int r = 0; r < 2; r++) {
            f16* to = tile + at(g + 8 * r, column / 8) + column % 8;
            if constexpr (kWide) {
                sts(reinterpret_cast<u32x2*>(to), u32x2{halves(j, r), halves(j + 1, r)});
            } else {
                sts(reinterpret_cast<uint32_t*>(to), halves(j, r));
            }
        }
    }
    warp_barrier();
    if (head_dim % 8 == 0) {
#pragma unroll 1
        for (int i = lane; i < 16 * (Width / 8); i += kWarp) {
            const int row = i / (Width / 8), chunk = i % (Width / 8);
            if (row >= rows || chunk * 8 >= head_dim) continue;
            const u32x4 value = lds(reinterpret_cast<const u32x4*>(tile + at(row, chunk)));
            stg(reinterpret_cast<u32x4*>(destination + row_at(row) + chunk * 8), value);
        }
    } else {
#pragma unroll 1
        for (int i = lane; i < 16 * Width; i += kWarp) {
            const int row = i / Width, column = i % Width;
            if (row >= rows || column >= head_dim) continue;
            stg(destination + row_at(row) + column, lds(tile + at(row, column / 8) + column % 8));
        }
    }
}
