// LayerNorm and RMSNorm of every row [rows, columns], from float32, f16 or bf16 to any of them, but not
// between f16 and bf16; sums in float32 over the row, the
// variance from the deviations. Destination and source may be the same memory.
//
// Callers: vision tower (LayerNorm, columns 1024), detail fusion (LayerNorm), decoder (RMSNorm, columns 4096).
//
// Case 7B, float32 to f16, bytes are those of the row in and out: vision 577 x 1024: 3.5 MB, 3.5 us at 1,008 GB/s;
// prefill 640 x 4096: 15.7 MB, 16 us; decode 1 x 4096: 41 KB, bound by the latency of a launch. 5 to 8 operations per
// element.
//
// One block per row, four elements per thread and step. The row is read once and kept in shared memory, where each
// thread finds what it put there itself; a row that does not fit is read again (cached = 0).
#include <cmath>

#include "common/reduce.cuh"
#include "common/rows.cuh"

namespace norms {
constexpr int kMostThreads = 1024;
/// Floats of the reduction in front of the row.
constexpr int kScratch = 32;

/// A row as its block sees it.
template <typename From>
struct Row {
    const From* source;
    f32x4* kept;
    int columns, cached;

    DEVICE f32x4 first(int column) const {
        const f32x4 v = read_4(source, column, columns);
        if (cached) sts(kept + column / 4, v);
        return v;
    }
    DEVICE f32x4 again(int column) const { return cached ? lds(kept + column / 4) : read_4(source, column, columns); }
};

/// Grid: x = rows. weight, bias: [columns]; bias only where Centred. Shared memory: kScratch floats, and if cached
/// columns rounded up to 4 more.
template <bool Centred, typename To, typename From>
DEVICE void run(To* destination, const From* source, const float* weight, const float* bias, int columns, int to_ld,
                int from_ld, float epsilon, int cached) {
    float* scratch = reinterpret_cast<float*>(shared_memory());
    const Row<From> row{source + size_t(block_x()) * from_ld, reinterpret_cast<f32x4*>(scratch + kScratch), columns,
                        cached};
    To* to = destination + size_t(block_x()) * to_ld;
    const int first = thread_x() * 4, step = block_threads() * 4;

    float sum = 0;
    for (int column = first; column < columns; column += step) {
        const f32x4 v = row.first(column);
        sum += Centred ? (v.x + v.y) + (v.z + v.w) : (v.x * v.x + v.y * v.y) + (v.z * v.z + v.w * v.w);
    }
    sum = block_sum(sum, scratch);

    float mean = 0;
    if (Centred) {
        mean = sum / float(columns);
        sum = 0;
        for (int column = first; column < columns; column += step) {
            const f32x4 v = row.again(column);
            const float x = v.x - mean;
            const float y = column + 1 < columns ? v.y - mean : 0, z = column + 2 < columns ? v.z - mean : 0;
            const float w = column + 3 < columns ? v.w - mean : 0;
            sum += (x * x + y * y) + (z * z + w * w);
        }
        sum = block_sum(sum, scratch);
    }
    const float inverse = 1.0f / sqrtf(sum / float(columns) + epsilon);

    for (int column = first; column < columns; column += step) {
        f32x4 v = row.again(column);
        const f32x4 scale = read_4(weight, column, columns);
        f32x4 shift{0, 0, 0, 0};
        if (Centred) shift = read_4(bias, column, columns);
        v.x = (v.x - mean) * inverse * scale.x + shift.x;
        v.y = (v.y - mean) * inverse * scale.y + shift.y;
        v.z = (v.z - mean) * inverse * scale.z + shift.z;
        v.w = (v.w - mean) * inverse * scale.w + shift.w;
        write_4(to, column, columns, v);
    }
}
}  // namespace norms

#define NORMS(to, from)                                                                                             \
    KERNEL(layer_norm_##to##_##from, norms::kMostThreads, 1)                                                        \
    (ELEMENT_##to * destination, const ELEMENT_##from* source, const float* weight, const float* bias, int columns, \
     int to_ld, int from_ld, float epsilon, int cached) {                                                           \
        norms::run<true>(destination, source, weight, bias, columns, to_ld, from_ld, epsilon, cached);              \
    }                                                                                                               \
    REGISTER_KERNEL(layer_norm_##to##_##from);                                                                      \
    KERNEL(rms_norm_##to##_##from, norms::kMostThreads, 1)                                                          \
    (ELEMENT_##to * destination, const ELEMENT_##from* source, const float* weight, const float* bias, int columns, \
     int to_ld, int from_ld, float epsilon, int cached) {                                                           \
        norms::run<false>(destination, source, weight, bias, columns, to_ld, from_ld, epsilon, cached);             \
    }                                                                                                               \
    REGISTER_KERNEL(rms_norm_##to##_##from)

FOR_EACH_ELEMENT_PAIR(NORMS);
