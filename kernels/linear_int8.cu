// Matrix products with 8-bit activations: y [m, n] = activation(x [m, k] W [n, k]^T + bias) + residual, x quantised by
// quantize_rows (norm_quantize.cu where a norm comes first) to signed bytes with one float32 scale for each token and
// group of columns (the groups of the weights), W int8 in the order of mma_s8 (int8mma). Gated as in linear_gemm.cu.
//
// Callers: prefill and the projector with int8 weights, more than 32 rows, unless DeviceOptions.Int8Activations is off.
//
// Case 7B, m = 640, operations and floor at 660 TOP/s (RTX 4090, int8); bytes at 1,008 GB/s (W once, x, y float32):
//     4096 x 4096:   21.5 GOP 33 us; 31 MB 30 us      11008 x 4096:  57.7 GOP 88 us; 77 MB 77 us
//     quantize_rows of 640 x 4096 f16: 5.2 MB in, 2.6 MB out, 8 us
//
// Sums of a group are exact 32-bit integers; each is scaled once, token's scale times row's, into float32 sums. The
// integers start at the bits of 1.5 * 2^23, so that their bits are a float that is off by just that: a subtraction
// instead of a conversion (64 columns of 127 * 127 stay below 2^22). A block of 128 outputs by 64 tokens reads its
// operands as linear_gemm.cu does, 64 columns per stage; 2 blocks of 8 warps per SM, for the registers of 32 sums and
// the operands of two steps.
#include "common/linear_gemm.cuh"
#include "common/quantize.cuh"
#include "common/rows.cuh"

namespace linear_int8 {
constexpr int kQuantizeThreads = 128, kQuantizeRows = 8;

/// q [rows, padded]: signed bytes, zero from `columns` to `padded`, which is a multiple of 64; scales [groups,
/// scales_ld]. Grid: x blocks of 512 columns, y blocks of 8 rows. Shared memory: 8 scales of 16 groups, which leave as
/// whole sectors.
template <typename From>
DEVICE void quantize(uint32_t* q, float* scales, const From* x, int rows, int columns, int x_ld, int padded, int group,
                     int scales_ld) {
    const int column = (block_x() * kQuantizeThreads + thread_x()) * 4, first_row = block_y() * kQuantizeRows;
    float* staged = reinterpret_cast<float*>(shared_memory());
#pragma unroll
    for (int i = 0; i < kQuantizeRows; i++) {
        const int row = first_row + i;
        f32x4 v{0, 0, 0, 0};
        if (column < columns && row < rows) v = read_4(x + size_t(row) * x_ld, column, columns);
        const QuantizedFour four = quantize_4(v, group);
        if (column < padded && row < rows) stg(q + (size_t(row) * padded + column) / 4, four.bytes);
        if (column % group == 0) sts(staged + thread_x() * 4 / group * kQuantizeRows + i, four.scale);
    }
    barrier();
    const int row = first_row + thread_x() % kQuantizeRows, in_block = thread_x() / kQuantizeRows;
    const int first = block_x() * kQuantizeThreads * 4 + in_block * group;
    if (in_block * group < kQuantizeThreads * 4 && first < padded && row < rows) {
        stg(scales + size_t(first / group) * scales_ld + row, lds(staged + thread_x()));
    }
}

using Shape = BlockShape<4, 2, 2, 4>;
constexpr int kColumns = 64, kLoads = 2, kStages = 3;
constexpr int kWeightPieces = Shape::kRowTiles * kLoads * kWarp;  // of 16 bytes
constexpr int kScalePieces = Shape::kRowTiles * 4;
constexpr int kTokenScalePieces = 2 * Shape::kTokens / 4;
// Bytes of a stage: weights, their scales [row tiles][2][8], the tokens' [2][tokens], tokens [tokens][64].
constexpr int kScales = kWeightPieces * 16;
constexpr int kTokenScales = kScales + kScalePieces * 16;
constexpr int kTokens = kTokenScales + kTokenScalePieces * 16;
constexpr int kStageBytes = kTokens + Shape::kTokens * kColumns;

struct Operands {
    const u32x4* packed;
    const uint32_t* scales;
    const unsigned char* x;     // [m, padded]
    const float* token_scales;  // [groups, token_scales_ld]
    int token_scales_ld, padded, units, groups, group_shift;
    int m, n, gated;
};

DEVICE void copy_stage(unsigned char* stage, const Operands& from, int unit) {
    constexpr int kPerTile = kLoads * kWarp;
#pragma unroll
    for (int step = 0; step < kWeightPieces / Shape::kThreads; step++) {
        const int i = thread_x() + step * Shape::kThreads;
        const int tile = weight_tile(Shape::kRowTiles, i / kPerTile, from.n, from.gated);
        cp_async16(stage + i * 16, from.packed + uint32_t(tile * from.units + unit) * kPerTile + i % kPerTile);
    }
    const int i = thread_x();
    if (i < kScalePieces) {
        const int tile = weight_tile(Shape::kRowTiles, i / 4, from.n, from.gated);
        const int group = (unit * kColumns + i % 4 / 2 * 32) >> from.group_shift;
        cp_async16(stage + kScales + i * 16, from.scales + uint32_t(tile * from.groups + group) * 8 + i % 2 * 4);
    } else if (i < kScalePieces + kTokenScalePieces) {
        const int piece = i - kScalePieces, row = block_x() * Shape::kTokens + piece % (Shape::kTokens / 4) * 4;
        const int group = (unit * kColumns + piece / (Shape::kTokens / 4) * 32) >> from.group_shift;
        const bool inside = row < from.m;
        const float* source = from.token_scales + (inside ? size_t(group) * from.token_scales_ld + row : 0);
        cp_async16(stage + kTokenScales + piece * 16, source, inside ? minimum(from.m - row, 4) * 4 : 0);
    }
    copy_tokens<Shape::kTokens, kColumns, Shape::kThreads>(
        stage + kTokens, from.x, from.padded, block_x() * Shape::kTokens, from.m, unit * kColumns, from.padded);
}

constexpr int32_t kZero = 0x4b400000;  // the bits of 1.5 * 2^23

/// sums += the group's integers times the scales of their rows and tokens; the integers start again.
DEVICE void flush(int32_t (&part)[4], float (&sums)[4], f32x2 rows, f32x2 tokens) {
    float values[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        values[i] = bits_to_float(uint32_t(part[i])) - 12582912.0f;
        part[i] = kZero;
    }
    sums[0] += values[0] * (rows.x * tokens.x);
    sums[1] += values[1] * (rows.x * tokens.y);
    sums[2] += values[2] * (rows.y * tokens.x);
    sums[3] += values[3] * (rows.y * tokens.y);
}

/// Groups of 32 columns (Halves) change their scales inside the stage.
template <bool Halves>
DEVICE void multiply_stage(int stage_offset, int output_warp, int token_warp,
                           float (&sums)[Shape::kOutputTiles][Shape::kTokenTiles][4]) {
    const unsigned char* stage = shared_memory() + stage_offset;
    const int lane = lane_id(), first_token = token_warp * Shape::kTokenTiles * 8;
    const int tokens = token_offset<kColumns>(stage_offset + kTokens, first_token);
    uint32_t b[2][Shape::kTokenTiles][2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
#pragma unroll
        for (int t = 0; t < Shape::kTokenTiles; t += 2) {
            load_tokens(tokens + t * 8 * kColumns, half, b[half][t], b[half][t + 1]);
        }
    }
    const float* token_scales = reinterpret_cast<const float*>(stage + kTokenScales) + first_token + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < Shape::kOutputTiles; i++) {
        const int tile = output_warp * Shape::kOutputTiles + i;
        uint32_t a[2][4];
        f32x2 rows[2];
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const u32x4 v = lds(reinterpret_cast<const u32x4*>(stage) + (tile * kLoads + half) * kWarp + lane);
            a[half][0] = v.x, a[half][1] = v.y, a[half][2] = v.z, a[half][3] = v.w;
            const uint32_t* pair =
                reinterpret_cast<const uint32_t*>(stage + kScales) + (tile * 2 + half) * 8 + lane / 4;
            if (half == 0 || Halves) rows[half] = to_float(f16x2{lds(pair)});
        }
#pragma unroll
        for (int t = 0; t < Shape::kTokenTiles; t++) {
            const float* scale = token_scales + t * 8;
            int32_t part[4] = {kZero, kZero, kZero, kZero};
            mma_s8(part, a[0], b[0][t]);
            if (Halves) flush(part, sums[i][t], rows[0], lds(reinterpret_cast<const f32x2*>(scale)));
            mma_s8(part, a[1], b[1][t]);
            flush(part, sums[i][t], rows[Halves ? 1 : 0],
                  lds(reinterpret_cast<const f32x2*>(scale + (Halves ? Shape::kTokens : 0))));
        }
    }
}

/// Grid: x token tiles, y output tiles.
template <bool Halves>
DEVICE void run(const Operands& from, const Epilogue<f16>& epilogue) {
    const int output_warp = warp_id() % Shape::kOutputWarps, token_warp = warp_id() / Shape::kOutputWarps;
    unsigned char* ring = shared_memory();
    float sums[Shape::kOutputTiles][Shape::kTokenTiles][4] = {};
#pragma unroll
    for (int s = 0; s < kStages - 1; s++) {
        if (s < from.units) copy_stage(ring + s * kStageBytes, from, s);
        cp_async_commit();
    }
    int reading = 0, writing = kStages - 1;
#pragma unroll 1
    for (int unit = 0; unit < from.units; unit++) {
        cp_async_wait<kStages - 2>();
        barrier();
        if (unit + kStages - 1 < from.units) copy_stage(ring + writing * kStageBytes, from, unit + kStages - 1);
        cp_async_commit();
        multiply_stage<Halves>(reading * kStageBytes, output_warp, token_warp, sums);
        reading = reading + 1 == kStages ? 0 : reading + 1;
        writing = writing + 1 == kStages ? 0 : writing + 1;
    }
    cp_async_wait<0>();
    barrier();
    store_sums<Shape>(sums, epilogue, from.gated, reinterpret_cast<float*>(ring));
}
}  // namespace linear_int8

#define QUANTIZE_KERNEL(from)                                                                                      \
    KERNEL(quantize_rows_##from, linear_int8::kQuantizeThreads, 8)                                                 \
    (uint32_t * q, float* scales, const ELEMENT_##from* x, int rows, int columns, int x_ld, int padded, int group, \
     int scales_ld) {                                                                                              \
        linear_int8::quantize(q, scales, x, rows, columns, x_ld, padded, group, scales_ld);                        \
    }                                                                                                              \
    REGISTER_KERNEL(quantize_rows_##from)

QUANTIZE_KERNEL(f32);
QUANTIZE_KERNEL(f16);

/// group32 is for groups of 32 columns, the other for longer ones.
#define INT8_KERNEL(name, halves)                                                                                   \
    KERNEL(name, linear_int8::Shape::kThreads, 2)                                                                   \
    (const u32x4* packed, const uint32_t* scales, const unsigned char* x, const float* token_scales,                \
     const float* bias, const void* residual, void* y, int token_scales_ld, int residual_element, int residual_ld,  \
     int y_element, int y_ld, int m, int n, int k, int group, int activation, int gated) {                          \
        const int padded = padded_columns(k);                                                                       \
        linear_int8::run<halves>(                                                                                   \
            linear_int8::Operands{packed, scales, x, token_scales, token_scales_ld, padded,                         \
                                  padded / linear_int8::kColumns, scale_groups(k, group), scale_shift(group), m, n, \
                                  gated},                                                                           \
            Epilogue<f16>{bias, residual, y, residual_element, residual_ld, y_element, y_ld, m, n, activation});    \
    }                                                                                                               \
    REGISTER_KERNEL(name)

INT8_KERNEL(gemm_int8_int8, false);
INT8_KERNEL(gemm_int8_int8_group32, true);
