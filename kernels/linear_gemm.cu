// Matrix products of many rows: y [m, n] = activation(x [m, k] W [n, k]^T + bias) + residual, x and weights f16 or
// bf16, or x f16 and weights int8 or int4 with group scales. Gated: W [2 n, k], gate above up (n a multiple of 16), y =
// silu(gate) * up.
//
// Callers: prefill, vision tower, projector, detail fusion: every product with more than 32 rows.
//
// Case 7B, m = 640, operations and floor at 165 TFLOP/s (RTX 4090, f16 with float32 sums); bytes (W once, x, y) at
// 1,008 GB/s:
//     4096 x 4096:   21.5 GFLOP 130 us; 44 MB (f16) 44 us, 19 MB (int4) 19 us
//     11008 x 4096:  57.7 GFLOP 350 us; 110 MB (f16) 109 us, 43 MB (int4) 43 us
// so these are bound by the tensor cores from about 160 (f16) or 45 (int4) rows.
//
// A block owns kRowTiles * 16 outputs by kTokens tokens. Weights (left operand, packed in fragment order) and tokens
// come by cp.async into a ring of stages of 32 columns (int4: 64, a lane's 16 bytes), one barrier per stage. Weight
// pieces of 16 bytes per lane are read as they lie; token rows are swizzled, and ldmatrix brings two token tiles at
// once: neither meets a bank twice. Integers are widened in registers (exact) and multiplied by their scale as halves
// (one rounding, 2^-11): for several token tiles that is cheaper than scaling float32 sums of every group. Blocks of
// the same outputs follow each other (x is the token tile), so that weights come from memory once.
//
// Occupancy: 128 x 128 and 128 x 64 hold 64 float32 sums per thread and some 30 registers of operands; every operand is
// used 2 to 8 times, which is what keeps the tensor cores busy, so 2 blocks of 8 (3 of 4) warps per SM, below 50 %, are
// meant; the smaller ones have 4 blocks of 4 warps, and 4 to 16 independent mma in each. Counted by the emulator: every
// sector full, no bank met twice.
#include "common/linear_gemm.cuh"

namespace linear_gemm {
/// One stage of the ring: weights, scales, tokens.
template <typename Unit, typename Shape>
struct Stage {
    static constexpr int kTokenBytes = Unit::kColumns * 2;
    static constexpr int kWeightPieces = Shape::kRowTiles * Unit::kLoads * kWarp;  // of 16 bytes
    static constexpr int kScalePieces = Unit::kScaled ? Shape::kRowTiles * 2 * (Unit::kColumns / 32) : 0;
    static constexpr int kScales = kWeightPieces * 16;
    static constexpr int kTokens = kScales + kScalePieces * 16;
    static constexpr int kBytes = kTokens + Shape::kTokens * kTokenBytes;
};

/// Starts the copies of unit `unit` of the columns.
template <typename Unit, typename Shape>
DEVICE void copy_stage(unsigned char* stage, const u32x4* packed, const uint32_t* scales, const void* x, int x_ld,
                       int unit, int units, int group_shift, int groups, int gated, int m, int n, int k) {
    using Layout = Stage<Unit, Shape>;
    constexpr int kPerTile = Unit::kLoads * kWarp;
#pragma unroll
    for (int step = 0; step < ceil_div(Layout::kWeightPieces, Shape::kThreads); step++) {
        const int i = thread_x() + step * Shape::kThreads;
        if (Layout::kWeightPieces % Shape::kThreads != 0 && i >= Layout::kWeightPieces) break;
        const int tile = weight_tile(Shape::kRowTiles, i / kPerTile, n, gated);
        const uint32_t index = uint32_t(tile * units + unit) * kPerTile + i % kPerTile;
        cp_async16(stage + i * 16, packed + index);
    }
    if constexpr (Unit::kScaled) {
        // 8 pairs, two pieces, per tile and 32 columns of the unit: the same ones twice where a group is longer.
        constexpr int kPieces = 2 * (Unit::kColumns / 32);
        static_assert(Layout::kScalePieces <= Shape::kThreads, "one piece per thread");
        const int i = thread_x();
        if (i < Layout::kScalePieces) {
            const int tile = weight_tile(Shape::kRowTiles, i / kPieces, n, gated);
            const int column = unit * Unit::kColumns + i % kPieces / 2 * 32;
            const uint32_t index = uint32_t(tile * groups + (column >> group_shift)) * 8 + i % 2 * 4;
            cp_async16(stage + Layout::kScales + i * 16, scales + index);
        }
    }
    copy_tokens<Shape::kTokens, Layout::kTokenBytes, Shape::kThreads>(
        stage + Layout::kTokens, static_cast<const unsigned char*>(x), uint32_t(x_ld) * 2, block_x() * Shape::kTokens,
        m, unit * Layout::kTokenBytes, k * 2);
}

template <typename Unit, typename Shape>
DEVICE void multiply_stage(int stage_offset, int output_warp, int token_warp,
                           float (&sums)[Shape::kOutputTiles][Shape::kTokenTiles][4]) {
    using Layout = Stage<Unit, Shape>;
    static_assert(Layout::kTokens % Layout::kTokenBytes == 0 && Layout::kBytes % Layout::kTokenBytes == 0);
    const unsigned char* stage = shared_memory() + stage_offset;
    const int lane = lane_id();
    const int tokens =
        token_offset<Layout::kTokenBytes>(stage_offset + Layout::kTokens, token_warp * Shape::kTokenTiles * 8);
    u32x4 weights[Shape::kOutputTiles][Unit::kLoads];
#pragma unroll
    for (int i = 0; i < Shape::kOutputTiles; i++) {
#pragma unroll
        for (int l = 0; l < Unit::kLoads; l++) {
            const int piece = ((output_warp * Shape::kOutputTiles + i) * Unit::kLoads + l) * kWarp + lane;
            weights[i][l] = lds(reinterpret_cast<const u32x4*>(stage) + piece);
        }
    }
// Unrolled further, int4 would need more registers than two blocks of 256 threads have.
#pragma unroll 2
    for (int tile = 0; tile < Unit::kColumns / 16; tile++) {
        uint32_t b[Shape::kTokenTiles][2];
#pragma unroll
        for (int t = 0; t < Shape::kTokenTiles; t += 2) {
            load_tokens(tokens + t * 8 * Layout::kTokenBytes, tile, b[t], b[t + 1]);
        }
#pragma unroll
        for (int i = 0; i < Shape::kOutputTiles; i++) {
            uint32_t a[4];
            Unit::fragment(weights[i], tile, a);
            if constexpr (Unit::kScaled) {
                const int pair =
                    ((output_warp * Shape::kOutputTiles + i) * (Unit::kColumns / 32) + tile / 2) * 8 + lane / 4;
                scale_fragment(a, lds(reinterpret_cast<const uint32_t*>(stage + Layout::kScales) + pair));
            }
#pragma unroll
            for (int t = 0; t < Shape::kTokenTiles; t++) mma<typename Unit::Element>(sums[i][t], a, b[t]);
        }
    }
}

/// Grid: x token tiles, y output tiles (of the block's size; in the gated form of half its outputs). Shared memory:
/// the stages, or the staged sums where they are larger (LinearPlan.SharedBytes in C#).
template <typename Unit, typename Shape, int Stages>
DEVICE void run(const u32x4* packed, const uint32_t* scales, const void* x, int x_ld,
                const Epilogue<typename Unit::Element>& epilogue, int k, int group, int gated) {
    using Layout = Stage<Unit, Shape>;
    const int units = padded_columns(k) / Unit::kColumns;
    const int groups = Unit::kScaled ? scale_groups(k, group) : 0;
    const int group_shift = scale_shift(group);
    const int output_warp = warp_id() % Shape::kOutputWarps, token_warp = warp_id() / Shape::kOutputWarps;
    unsigned char* ring = shared_memory();

    float sums[Shape::kOutputTiles][Shape::kTokenTiles][4] = {};
#pragma unroll
    for (int s = 0; s < Stages - 1; s++) {
        if (s < units) {
            copy_stage<Unit, Shape>(ring + s * Layout::kBytes, packed, scales, x, x_ld, s, units, group_shift, groups,
                                    gated, epilogue.m, epilogue.n, k);
        }
        cp_async_commit();
    }
    int reading = 0, writing = Stages - 1;
#pragma unroll 1
    for (int unit = 0; unit < units; unit++) {
        cp_async_wait<Stages - 2>();
        barrier();
        if (unit + Stages - 1 < units) {
            copy_stage<Unit, Shape>(ring + writing * Layout::kBytes, packed, scales, x, x_ld, unit + Stages - 1, units,
                                    group_shift, groups, gated, epilogue.m, epilogue.n, k);
        }
        cp_async_commit();
        multiply_stage<Unit, Shape>(reading * Layout::kBytes, output_warp, token_warp, sums);
        reading = reading + 1 == Stages ? 0 : reading + 1;
        writing = writing + 1 == Stages ? 0 : writing + 1;
    }
    cp_async_wait<0>();
    barrier();
    store_sums<Shape>(sums, epilogue, gated, reinterpret_cast<float*>(ring));
}

// Blocks per SM. Turing has shared memory for one large block only, and spends the registers.
#if !LSP_EMULATOR && defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
constexpr int kLargeBlocks = 1;
#else
constexpr int kLargeBlocks = 2;
#endif

using Shape128x128 = BlockShape<4, 2, 2, 8>;
using Shape128x64 = BlockShape<4, 1, 2, 8>;
using Shape64x64 = BlockShape<2, 2, 2, 4>;
using Shape32x64 = BlockShape<1, 4, 2, 2>;
}  // namespace linear_gemm

#define GEMM_KERNEL(name, Unit, Shape, stages, blocks)                                                                 \
    KERNEL(name, Shape::kThreads, blocks)                                                                              \
    (const u32x4* packed, const uint32_t* scales, const void* x, const float* bias, const void* residual, void* y,     \
     int x_ld, int residual_element, int residual_ld, int y_element, int y_ld, int m, int n, int k, int group,         \
     int activation, int gated) {                                                                                      \
        linear_gemm::run<Unit, Shape, stages>(packed, scales, x, x_ld,                                                 \
                                              Epilogue<Unit::Element>{bias, residual, y, residual_element,             \
                                                                      residual_ld, y_element, y_ld, m, n, activation}, \
                                              k, group, gated);                                                        \
    }                                                                                                                  \
    REGISTER_KERNEL(name)

GEMM_KERNEL(gemm_f16_128x128, F16Unit, linear_gemm::Shape128x128, 3, linear_gemm::kLargeBlocks);
GEMM_KERNEL(gemm_f16_128x64, F16Unit, linear_gemm::Shape128x64, 3, 3);
GEMM_KERNEL(gemm_f16_64x64, F16Unit, linear_gemm::Shape64x64, 4, 4);
GEMM_KERNEL(gemm_f16_32x64, F16Unit, linear_gemm::Shape32x64, 4, 4);
GEMM_KERNEL(gemm_bf16_128x128, BF16Unit, linear_gemm::Shape128x128, 3, linear_gemm::kLargeBlocks);
GEMM_KERNEL(gemm_bf16_128x64, BF16Unit, linear_gemm::Shape128x64, 3, 3);
GEMM_KERNEL(gemm_bf16_64x64, BF16Unit, linear_gemm::Shape64x64, 4, 4);
GEMM_KERNEL(gemm_bf16_32x64, BF16Unit, linear_gemm::Shape32x64, 4, 4);
GEMM_KERNEL(gemm_int8_128x128, Int8Unit<1>, linear_gemm::Shape128x128, 3, linear_gemm::kLargeBlocks);
GEMM_KERNEL(gemm_int8_128x64, Int8Unit<1>, linear_gemm::Shape128x64, 3, 3);
GEMM_KERNEL(gemm_int8_64x64, Int8Unit<1>, linear_gemm::Shape64x64, 4, 4);
GEMM_KERNEL(gemm_int8_32x64, Int8Unit<1>, linear_gemm::Shape32x64, 4, 4);
GEMM_KERNEL(gemm_int4_128x128, Int4Unit, linear_gemm::Shape128x128, 2, linear_gemm::kLargeBlocks);
GEMM_KERNEL(gemm_int4_128x64, Int4Unit, linear_gemm::Shape128x64, 2, 3);
GEMM_KERNEL(gemm_int4_64x64, Int4Unit, linear_gemm::Shape64x64, 3, 4);
GEMM_KERNEL(gemm_int4_32x64, Int4Unit, linear_gemm::Shape32x64, 3, 4);
