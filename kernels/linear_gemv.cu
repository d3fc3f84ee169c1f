// Matrix products of few rows: y [m, n] = activation(x [m, k] W [n, k]^T + bias) + residual, m at most 8 (gemv_*), 16
// (gemv16_*) or 32 (gemv32_*). With `norm`, x is RMSNorm(x) * norm, with `x_activation` GELU(x) (or quick-GELU), made
// by every block for itself while it stages x. The gated form (gemv2_*, gemv16_*, gemv32_* with gated = 1) takes W [2
// n, k], gate above up, and gives silu(gate) * up.
//
// Callers: every product of the decode step (q/k/v, output, gate and up, down, logits), the spatial tokens' linear
// layers.
//
// Case 7B, m = 1, weights read once, bytes and floor at 1,008 GB/s (RTX 4090); operations (2 m n k) are far below 165
// TFLOP/s:
//     4096 x 4096:   f16 33.6 MB 33 us | int8:64 17.3 MB 17 us | int4:64  8.9 MB  8.8 us
//     11008 x 4096:  f16 90.2 MB 89 us | int8:64 46.5 MB 46 us | int4:64 23.9 MB 24 us
// x costs a block m * k * 2 bytes (4 for float32, twice that with the norm) from the second cache, 8 KB for one
// row against 32 KB to 256 KB of weights. Counted by the emulator: every sector full, no bank met twice but in the
// norm.
//
// A block owns RowTiles tiles of 16 outputs; its 8 warps take the units of those rows in turn and keep two stages of
// two to four 16-byte loads per lane in flight, the first already under way while x is staged: at 24 warps per SM that
// is 48 to 96 KB, five to ten times what the latency of the memory asks for. x lies in shared memory in chunks, rows 16
// bytes apart modulo 128 so that ldmatrix meets no bank twice. Tokens that do not exist read the last row again: a
// column of an mma depends on its own token only, and is not stored. For up to 8 rows scales multiply float32 sums of
// 32 columns, so weights enter exactly; the other forms scale the weights as halves, as linear_gemm.cu does.
//
// Occupancy: 3 blocks of 8 warps per SM, half of an SM of 48; gemv32_* 2, a third: 32 sums and the tokens' operands.
#include <type_traits>

#include "common/epilogue.cuh"
#include "common/weight_tiles.cuh"

namespace linear_gemv {
constexpr int kWarps = 8;
constexpr int kThreads = kWarps * kWarp;
/// Blocks per SM: half of its warps, on Turing, too, whose SM has fewer.
#if !LSP_EMULATOR && defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
constexpr int kBlocks = 2;
#else
constexpr int kBlocks = 3;
#endif
/// Floats between two tokens in the reduction: 16 outputs, padded so that a warp's stores meet no bank twice.
constexpr int kReduceStride = 20;

/// x [m, k] as a block sees it: float32, or where the number of its element type is not 0, T. The norm comes before the
/// activation.
template <typename T>
struct Source {
    const void* x;
    const float* norm;  // [k] or null
    int element, ld, rows, columns, activation;
};

/// Four elements of row `row` from `column` (a multiple of 4), zero beyond the columns.
template <typename T>
DEVICE void load4(const Source<T>& source, int row, int column, float (&v)[4]) {
    const size_t index = size_t(row) * source.ld + column;
#pragma unroll
    for (int i = 0; i < 4; i++) v[i] = 0;
    if (column >= source.columns) return;
    if (source.element) {
        const u32x2 raw = ldg(reinterpret_cast<const u32x2*>(static_cast<const T*>(source.x) + index));
        const f32x2 low = Operand<T>::floats(raw.x), high = Operand<T>::floats(raw.y);
        v[0] = low.x, v[1] = low.y, v[2] = high.x, v[3] = high.y;
    } else {
        const f32x4 raw = ldg(reinterpret_cast<const f32x4*>(static_cast<const float*>(source.x) + index));
        v[0] = raw.x, v[1] = raw.y, v[2] = raw.z, v[3] = raw.w;
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (column + i >= source.columns) v[i] = 0;
    }
}

/// The factor 1 / sqrt(mean(x^2) + epsilon) of every row, to factors [rows]. partial: [rows * kWarps].
template <typename T>
DEVICE void rms_factors(const Source<T>& source, float epsilon, float* factors, float* partial) {
    for (int row = 0; row < source.rows; row++) {
        float sum = 0;
        for (int column = thread_x() * 4; column < source.columns; column += kThreads * 4) {
            float v[4];
            load4(source, row, column, v);
#pragma unroll
            for (int i = 0; i < 4; i++) sum += v[i] * v[i];
        }
        sum = warp_sum(sum);
        if (lane_id() == 0) sts(partial + row * kWarps + warp_id(), sum);
    }
    barrier();
    if (thread_x() < source.rows) {
        float sum = 0;
        for (int i = 0; i < kWarps; i++) sum += lds(partial + thread_x() * kWarps + i);
        sts(factors + thread_x(), 1.0f / sqrtf(sum / float(source.columns) + epsilon));
    }
    barrier();
}

/// Columns first … first + count - 1 of x as T to shared memory [rows][stride]; Swapped: in the order that
/// Int8MmaUnit wants, columns 4t, 4t + 1 and 4t + 2, 4t + 3 of every 16 at 2t and 2t + 8.
template <bool Swapped, typename T>
DEVICE void stage_source(const Source<T>& source, const float* factors, int first, int count, int stride, T* to) {
    for (int row = 0; row < source.rows; row++) {
        const float factor = source.norm ? lds(factors + row) : 1.0f;
        for (int i = thread_x() * 4; i < count; i += kThreads * 4) {
            const int column = first + i;
            float v[4];
            load4(source, row, column, v);
            if (source.norm && column < source.columns) {
                const f32x4 weight = ldg(reinterpret_cast<const f32x4*>(source.norm + column));
                const float weights[4] = {weight.x, weight.y, weight.z, weight.w};
#pragma unroll
                for (int e = 0; e < 4; e++) v[e] = column + e < source.columns ? v[e] * factor * weights[e] : 0;
            }
            if (source.activation) {
#pragma unroll
                for (int e = 0; e < 4; e++) v[e] = activate(v[e], source.activation);
            }
            T* at = to + row * stride + i;
            if constexpr (Swapped) {
                at += i % 16 / 4 * 2 - i % 16;
                // Every other 64 columns begin with the second pair: else lanes 16 apart would meet in a bank.
                const uint32_t pairs[2] = {Operand<T>::pair(v[0], v[1]), Operand<T>::pair(v[2], v[3])};
                const bool late = i / 64 % 2 != 0;
                sts(reinterpret_cast<uint32_t*>(at + (late ? 8 : 0)), late ? pairs[1] : pairs[0]);
                sts(reinterpret_cast<uint32_t*>(at + (late ? 0 : 8)), late ? pairs[0] : pairs[1]);
                continue;
            }
            sts(reinterpret_cast<u32x2*>(at), u32x2{Operand<T>::pair(v[0], v[1]), Operand<T>::pair(v[2], v[3])});
        }
    }
}

/// The loads of one stage: Slots units of every row tile.
template <typename Unit, int RowTiles, int Slots>
struct WeightStage {
    u32x4 weights[Slots][RowTiles][Unit::kLoads];
    uint32_t scales[Slots][RowTiles][Unit::kScaled ? Unit::kColumns / 32 : 1];

    /// Slot s holds unit first + s * kWarps, if there is one.
    DEVICE void load(const u32x4* packed, const uint32_t* pairs, const int (&tiles)[RowTiles], int first, int units,
                     int group_shift, int groups) {
#pragma unroll
        for (int s = 0; s < Slots; s++) {
            const int unit = first + s * kWarps;
            if (unit >= units) continue;
#pragma unroll
            for (int r = 0; r < RowTiles; r++) {
                const uint32_t base = uint32_t(tiles[r] * units + unit) * (Unit::kLoads * kWarp) + lane_id();
#pragma unroll
                for (int l = 0; l < Unit::kLoads; l++) {
                    weights[s][r][l] = ldg_stream(packed + base + l * kWarp);
                }
                if constexpr (Unit::kScaled) {
                    const uint32_t pair = uint32_t(tiles[r] * groups + (unit * Unit::kColumns >> group_shift)) * 8;
                    const uint32_t* from = pairs + pair + lane_id() / 4;
                    scales[s][r][0] = ldg(from);
                    if constexpr (Unit::kColumns == 64) {
                        scales[s][r][1] = group_shift == 5 ? ldg(from + 8) : scales[s][r][0];
                    }
                }
            }
        }
    }
};

/// sums += the products of a stage; x points at the chunk's column 0, `first_column` is the chunk's first.
template <typename Unit, int RowTiles, int TokenTiles, int Slots>
DEVICE void multiply(const WeightStage<Unit, RowTiles, Slots>& stage, const typename Unit::Element* x, int stride,
                     int rows, int first_column, int first, int units, float (&sums)[RowTiles][TokenTiles][4]) {
    using T = typename Unit::Element;
    const int lane = lane_id();
#pragma unroll
    for (int s = 0; s < Slots; s++) {
        const int unit = first + s * kWarps;
        if (unit >= units) continue;
#pragma unroll
        for (int pair = 0; pair < Unit::kColumns / 32; pair++) {
            const int column = unit * Unit::kColumns + 32 * pair - first_column + lane / 8 * 8;
            uint32_t b[TokenTiles][4];
#pragma unroll
            for (int t = 0; t < TokenTiles; t++) {
                ldmatrix_x4(b[t], x + minimum(8 * t + lane % 8, rows - 1) * stride + column);
            }
#pragma unroll
            for (int r = 0; r < RowTiles; r++) {
                uint32_t a0[4], a1[4];
                Unit::fragment(stage.weights[s][r], 2 * pair, a0);
                Unit::fragment(stage.weights[s][r], 2 * pair + 1, a1);
                if constexpr (Unit::kScaled && TokenTiles > 1) {
                    scale_fragment(a0, stage.scales[s][r][pair]);
                    scale_fragment(a1, stage.scales[s][r][pair]);
                }
#pragma unroll
                for (int t = 0; t < TokenTiles; t++) {
                    const uint32_t b0[2] = {b[t][0], b[t][1]}, b1[2] = {b[t][2], b[t][3]};
                    if constexpr (Unit::kScaled && TokenTiles == 1) {
                        float part[4] = {0, 0, 0, 0};
                        mma<T>(part, a0, b0);
                        mma<T>(part, a1, b1);
                        add_scaled(sums[r][t], part, stage.scales[s][r][pair]);
                    } else {
                        mma<T>(sums[r][t], a0, b0);
                        mma<T>(sums[r][t], a1, b1);
                    }
                }
            }
        }
    }
}

/// chunk: columns of x in shared memory at once, a multiple of the columns of a stage (2048 always is, 512 for the
/// forms of 16 and 32 rows) or at least all of them. Shared memory: LinearPlan.SharedBytes in C#.
template <typename Unit, int RowTiles, int TokenTiles, int Slots>
DEVICE void run(const u32x4* packed, const uint32_t* scales, const Source<typename Unit::Element>& source,
                float epsilon, const Epilogue<typename Unit::Element>& epilogue, int group, int gated, int chunk) {
    using T = typename Unit::Element;
    const int k = padded_columns(source.columns);
    const int units = k / Unit::kColumns;
    const int groups = Unit::kScaled ? scale_groups(source.columns, group) : 0;
    const int group_shift = scale_shift(group);
    const int row_tiles = ceil_div(epilogue.n, 16);
    // Tiles beyond the edge repeat the last: their results are not stored.
    int tiles[RowTiles];
#pragma unroll
    for (int r = 0; r < RowTiles; r++) {
        tiles[r] = gated ? block_x() + r * row_tiles : minimum(block_x() * RowTiles + r, row_tiles - 1);
    }

    const int stride = minimum(chunk, k) + 8;
    float* factors = reinterpret_cast<float*>(shared_memory());
    T* x = reinterpret_cast<T*>(shared_memory() + 32 * sizeof(float));
    constexpr int kStageColumns = Slots * kWarps * Unit::kColumns;
    const int stages = ceil_div(k, kStageColumns);

    WeightStage<Unit, RowTiles, Slots> current, next;
    current.load(packed, scales, tiles, warp_id(), units, group_shift, groups);
    if (source.norm) rms_factors(source, epsilon, factors, reinterpret_cast<float*>(x));

    float sums[RowTiles][TokenTiles][4] = {};
    int first_column = 0;
#pragma unroll 1
    for (int stage = 0; stage < stages; stage++) {
        const int column = stage * kStageColumns;
        if (column % chunk == 0) {
            barrier();
            first_column = column;
            stage_source<std::is_same_v<Unit, Int8MmaUnit>>(source, factors, column, minimum(chunk, k - column), stride,
                                                            x);
            barrier();
        }
        const int first = stage * Slots * kWarps + warp_id();
        if (stage + 1 < stages) next.load(packed, scales, tiles, first + Slots * kWarps, units, group_shift, groups);
        multiply<Unit, RowTiles, TokenTiles, Slots>(current, x, stride, source.rows, first_column, first, units, sums);
        current = next;
    }

    // The warps' sums, added in the order of the warps, eight tokens at a time.
    float* reduce = reinterpret_cast<float*>(shared_memory());
    const int lane = lane_id();
    constexpr int kTile = 8 * kReduceStride + 16;  // two row tiles lie in different halves of the banks
#pragma unroll
    for (int t = 0; t < TokenTiles; t++) {
        barrier();
#pragma unroll
        for (int r = 0; r < RowTiles; r++) {
            float* to = reduce + (warp_id() * RowTiles + r) * kTile + lane % 4 * 2 * kReduceStride + lane / 4;
            sts(to, sums[r][t][0]);
            sts(to + kReduceStride, sums[r][t][1]);
            sts(to + 8, sums[r][t][2]);
            sts(to + kReduceStride + 8, sums[r][t][3]);
        }
        barrier();
        const int outputs = gated ? 16 : 16 * RowTiles;
        for (int e = thread_x(); e < 8 * outputs; e += kThreads) {
            // Half a warp for each of two tokens takes tokens 4 apart, which are 16 banks apart.
            const int token = outputs == 16 ? e / 32 + e / 16 % 2 * 4 : e / outputs, output = e % outputs;
            const float* from = reduce + output / 16 * kTile + token * kReduceStride + output % 16;
            float value = 0, up = 0;
            for (int w = 0; w < kWarps; w++) {
                value += lds(from + w * RowTiles * kTile);
                if (RowTiles == 2 && gated) up += lds(from + (w * RowTiles + 1) * kTile);
            }
            if (RowTiles == 2 && gated) value = silu(value) * up;
            const int row = 8 * t + token, column = block_x() * outputs + output;
            if (row < epilogue.m && column < epilogue.n) epilogue.store(row, column, value);
        }
    }
}
}  // namespace linear_gemv

#define GEMV_KERNEL(name, Unit, row_tiles, token_tiles, slots, blocks)                                                 \
    KERNEL(name, linear_gemv::kThreads, blocks)                                                                        \
    (const u32x4* packed, const uint32_t* scales, const void* x, const float* norm, const float* bias,                 \
     const void* residual, void* y, int x_element, int x_ld, int x_activation, int residual_element, int residual_ld,  \
     int y_element, int y_ld, int m, int n, int k, int group, int activation, int gated, int chunk, float epsilon) {   \
        linear_gemv::run<Unit, row_tiles, token_tiles, slots>(                                                         \
            packed, scales, linear_gemv::Source<Unit::Element>{x, norm, x_element, x_ld, m, k, x_activation}, epsilon, \
            Epilogue<Unit::Element>{bias, residual, y, residual_element, residual_ld, y_element, y_ld, m, n,           \
                                    activation},                                                                       \
            group, gated, chunk);                                                                                      \
    }                                                                                                                  \
    REGISTER_KERNEL(name)

GEMV_KERNEL(gemv_f16, F16Unit, 1, 1, 2, linear_gemv::kBlocks);
GEMV_KERNEL(gemv_bf16, BF16Unit, 1, 1, 2, linear_gemv::kBlocks);
GEMV_KERNEL(gemv_int8, Int8Unit<2>, 1, 1, 2, linear_gemv::kBlocks);
GEMV_KERNEL(gemv_int4, Int4Unit, 1, 1, 4, linear_gemv::kBlocks);
GEMV_KERNEL(gemv_int8mma, Int8MmaUnit, 1, 1, 4, linear_gemv::kBlocks);
GEMV_KERNEL(gemv2_f16, F16Unit, 2, 1, 1, linear_gemv::kBlocks);
GEMV_KERNEL(gemv2_bf16, BF16Unit, 2, 1, 1, linear_gemv::kBlocks);
GEMV_KERNEL(gemv2_int8, Int8Unit<2>, 2, 1, 1, linear_gemv::kBlocks);
GEMV_KERNEL(gemv2_int4, Int4Unit, 2, 1, 1, linear_gemv::kBlocks);
GEMV_KERNEL(gemv2_int8mma, Int8MmaUnit, 2, 1, 2, linear_gemv::kBlocks);
GEMV_KERNEL(gemv16_f16, F16Unit, 2, 2, 1, linear_gemv::kBlocks);
GEMV_KERNEL(gemv16_bf16, BF16Unit, 2, 2, 1, linear_gemv::kBlocks);
GEMV_KERNEL(gemv16_int8, Int8Unit<1>, 2, 2, 1, linear_gemv::kBlocks);
GEMV_KERNEL(gemv16_int4, Int4Unit, 2, 2, 1, linear_gemv::kBlocks);
GEMV_KERNEL(gemv16_int8mma, Int8MmaUnit, 2, 2, 1, linear_gemv::kBlocks);
GEMV_KERNEL(gemv32_f16, F16Unit, 2, 4, 1, 2);
GEMV_KERNEL(gemv32_bf16, BF16Unit, 2, 4, 1, 2);
GEMV_KERNEL(gemv32_int8, Int8Unit<1>, 2, 4, 1, 2);
GEMV_KERNEL(gemv32_int4, Int4Unit, 2, 4, 1, 2);
GEMV_KERNEL(gemv32_int8mma, Int8MmaUnit, 2, 4, 1, 2);
