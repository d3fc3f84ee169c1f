// RMSNorm of every row and the quantisation of its result for a product with 8-bit activations (linear_int8.cu), in one
// pass: the normed row, which nobody else wants, is never in memory.
//
//   x  [rows, columns]                float32 or f16; weight [columns] float32
//   q  [rows, padded]                 signed bytes, zero from `columns` to `padded` (columns rounded up to 64)
//   scales [groups, scales_ld]        float32; scales_ld = rows rounded up to 4
//
// Caller: CudaBackend.NormLinear and GatedNormLinear, more than 32 rows, weights int8 in the order of the integer mma:
// the prefill's q/k/v and gate/up products, and the output matrix of a traced prefill.
//
// Case 7B, 640 x 4096 float32: 10.5 MB in, 2.6 MB and scales (0.16 MB at groups of 64) out: 13 us at 1,008 GB/s. Norm
// and quantisation by themselves (norms.cu, quantize_rows) move 15.7 and 7.9 MB: 23 us and a launch more.
//
// A block has four rows, so that their scales of a group leave together, and four warps for each. Every thread keeps
// what it read in registers, up to 4096 columns; what lies beyond is read again, out of the second cache.
// Occupancy: 2 blocks of 16 warps at up to 64 registers, half of sm_80's warps; 64 KB of loads under way for each block
// are ten times what memory needs.
#include <cmath>

#include "common/quantize.cuh"
#include "common/rows.cuh"

namespace norm_quantize {
constexpr int kRows = 4, kWarpsOfRow = 4;
constexpr int kThreads = kRows * kWarpsOfRow * kWarp;
constexpr int kStep = kWarpsOfRow * kWarp * 4;  // columns that the threads of a row take at once
constexpr int kKept = 8;                        // steps whose columns stay in registers
constexpr int kScratch = 16;                    // floats in front of the scales: a sum for each warp

/// Grid: x = rows / 4 rounded up. Shared memory: kScratch floats, and four for each group.
template <typename From>
DEVICE void run(uint32_t* q, float* scales, const From* x, const float* weight, int rows, int columns, int x_ld,
                int padded, int group, int scales_ld, float epsilon) {
    float* scratch = reinterpret_cast<float*>(shared_memory());
    float* staged = scratch + kScratch;  // [groups][4 rows]
    const int in_block = warp_id() / kWarpsOfRow, row = block_x() * kRows + in_block;
    const int first = thread_x() % (kWarpsOfRow * kWarp) * 4;
    const bool there = row < rows;
    const From* from = x + size_t(there ? row : 0) * x_ld;
    const auto read = [&](int column) {
        return there && column < columns ? read_4(from, column, columns) : f32x4{0, 0, 0, 0};
    };
    const auto squares = [](f32x4 v) { return (v.x * v.x + v.y * v.y) + (v.z * v.z + v.w * v.w); };

    f32x4 kept[kKept];
    float sum = 0;
#pragma unroll
    for (int i = 0; i < kKept; i++) kept[i] = read(first + i * kStep);
#pragma unroll
    for (int i = 0; i < kKept; i++) sum += squares(kept[i]);
    for (int column = first + kKept * kStep; column < columns; column += kStep) sum += squares(read(column));
    sum = warp_sum(sum);
    if (lane_id() == 0) sts(scratch + warp_id(), sum);
    barrier();
    float total = 0;
#pragma unroll
    for (int w = 0; w < kWarpsOfRow; w++) total += lds(scratch + in_block * kWarpsOfRow + w);
    const float inverse = 1.0f / sqrtf(total / float(columns) + epsilon);

    // All lanes take part in every step, since those of a group compare their columns.
    const auto write = [&](f32x4 v, int column) {
        if (column < columns) {
            const f32x4 scale = read_4(weight, column, columns);
            v.x *= inverse * scale.x, v.y *= inverse * scale.y, v.z *= inverse * scale.z, v.w *= inverse * scale.w;
        }
        const QuantizedFour four = quantize_4(v, group);
        if (column >= padded) return;
        if (there) stg(q + (size_t(row) * padded + column) / 4, four.bytes);
        if (column % group == 0) sts(staged + column / group * kRows + in_block, there ? four.scale : 0);
    };
#pragma unroll
    for (int i = 0; i < kKept; i++) {
        if (i * kStep < padded) write(kept[i], first + i * kStep);
    }
#pragma unroll 1
    for (int begin = kKept * kStep; begin < padded; begin += kStep) write(read(begin + first), begin + first);
    barrier();
    const int groups = ceil_div(padded, group);
    for (int i = thread_x(); i < groups; i += kThreads) {
        stg(reinterpret_cast<f32x4*>(scales + size_t(i) * scales_ld + block_x() * kRows),
            lds(reinterpret_cast<const f32x4*>(staged) + i));
    }
}
}  // namespace norm_quantize

#define NORM_QUANTIZE(from)                                                                                      \
    KERNEL(rms_norm_quantize_##from, norm_quantize::kThreads, 1)                                                 \
    (uint32_t * q, float* scales, const ELEMENT_##from* x, const float* weight, int rows, int columns, int x_ld, \
     int padded, int group, int scales_ld, float epsilon) {                                                      \
        norm_quantize::run(q, scales, x, weight, rows, columns, x_ld, padded, group, scales_ld, epsilon);        \
    }                                                                                                            \
    REGISTER_KERNEL(rms_norm_quantize_##from)

NORM_QUANTIZE(f32);
NORM_QUANTIZE(f16);
