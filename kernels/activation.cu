// Element by element: y = GELU(x) (with the error function), x * sigmoid(1.702 x) or x; and SwiGLU, y [rows, columns] =
// silu(gate) * up from rows [gate | up]. From float32, f16 or bf16 to any of
// them, but not between f16 and bf16.
//
// Callers: the GELU in front of conv_linear for more than 32 spatial tokens (up to there it is part of the product,
// linear_gemv.cu); SwiGLU where it is not part of a matrix product.
//
// Case 7B: GELU 36 x 1024 (six pictures, Cropping): 0.22 MB, bound by the latency of a launch. SwiGLU of 640 x 11008,
// f16: 42 MB, 42 us at 1,008 GB/s; about 20 operations per element.
#include <cmath>

#include "common/rows.cuh"

namespace activations {
constexpr int kThreads = 128;
/// Numbers of the enum `Activation` in C#.
constexpr int kGelu = 1, kQuickGelu = 2;

/// x * sigmoid(factor * x): e^-x is left to overflow, x / infinity is the right limit.
DEVICE float swish(float x, float factor) { return x / (1.0f + expf(-factor * x)); }

DEVICE float apply(float x, int activation) {
    if (activation == kGelu) return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
    return activation == kQuickGelu ? swish(x, 1.702f) : x;
}

/// Grid: x blocks of kThreads * 4 columns, y blocks of rows in turn.
template <typename To, typename From>
DEVICE void run(To* destination, const From* source, int rows, int columns, int to_ld, int from_ld, int activation) {
    const int column = (block_x() * kThreads + thread_x()) * 4;
    if (column >= columns) return;
    for (int row = block_y(); row < rows; row += grid_y()) {
        f32x4 v = read_4(source + size_t(row) * from_ld, column, columns);
        v = f32x4{apply(v.x, activation), apply(v.y, activation), apply(v.z, activation), apply(v.w, activation)};
        write_4(destination + size_t(row) * to_ld, column, columns, v);
    }
}

/// As above; source: [rows, 2 * columns].
template <typename To, typename From>
DEVICE void run_gated(To* destination, const From* source, int rows, int columns, int to_ld, int from_ld) {
    const int column = (block_x() * kThreads + thread_x()) * 4;
    if (column >= columns) return;
    const bool aligned = columns % 4 == 0;
    for (int row = block_y(); row < rows; row += grid_y()) {
        const From* from = source + size_t(row) * from_ld;
        const f32x4 gate = read_4(from, column, columns);
        const f32x4 up = aligned ? read_4(from + columns + column) : read_4_unaligned(from + columns, column, columns);
        const f32x4 v{swish(gate.x, 1.0f) * up.x, swish(gate.y, 1.0f) * up.y, swish(gate.z, 1.0f) * up.z,
                      swish(gate.w, 1.0f) * up.w};
        write_4(destination + size_t(row) * to_ld, column, columns, v);
    }
}
}  // namespace activations

#define ACTIVATIONS(to, from)                                                                                   \
    KERNEL(activate_##to##_##from, activations::kThreads, 8)                                                    \
    (ELEMENT_##to * destination, const ELEMENT_##from* source, int rows, int columns, int to_ld, int from_ld,   \
     int activation) {                                                                                          \
        activations::run(destination, source, rows, columns, to_ld, from_ld, activation);                       \
    }                                                                                                           \
    REGISTER_KERNEL(activate_##to##_##from);                                                                    \
    KERNEL(gated_activation_##to##_##from, activations::kThreads, 8)                                            \
    (ELEMENT_##to * destination, const ELEMENT_##from* source, int rows, int columns, int to_ld, int from_ld) { \
        activations::run_gated(destination, source, rows, columns, to_ld, from_ld);                             \
    }                                                                                                           \
    REGISTER_KERNEL(gated_activation_##to##_##from)

FOR_EACH_ELEMENT_PAIR(ACTIVATIONS);
