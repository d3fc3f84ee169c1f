// What follows a matrix product: y = activation(product + bias) + residual, stored as float32 or
// in the type of the operands.
#pragma once

#include <cmath>

#include "memory.cuh"

/// Numbers of the enum `Activation` in C#.
constexpr int kActivationNone = 0;
constexpr int kActivationGelu = 1;
constexpr int kActivationQuickGelu = 2;

/// x * sigmoid(x); e^-x is left to overflow: x / infinity is the right limit.
DEVICE float silu(float x) { return x / (1.0f + expf(-x)); }

DEVICE float activate(float x, int activation) {
    if (activation == kActivationGelu) return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
    if (activation == kActivationQuickGelu) return x / (1.0f + expf(-1.702f * x));
    return x;
}

/// Destination of a product and what is done on the way there. y and residual may be the same memory: every element is
/// read by the thread that writes it, before it does. Their elements are float32, or where the number of the element
/// type is not 0, T (f16 or bf16), the type of the product's operands.
template <typename T>
struct Epilogue {
    const float* bias;     // [n] or null
    const void* residual;  // [m, n] or null
    void* y;               // [m, n]
    int residual_element, residual_ld;
    int y_element, y_ld;
    int m, n;
    int activation;

    /// Stores the product of token `row` and output `column`, which must lie inside.
    DEVICE void store(int row, int column, float value) const {
        if (bias) value += ldg(bias + column);
        value = activate(value, activation);
        if (residual) value += residual_at(row, column);
        const size_t index = size_t(row) * y_ld + column;
        if (y_element) {
            stg(static_cast<T*>(y) + index, Operand<T>::from(value));
        } else {
            stg(static_cast<float*>(y) + index, value);
        }
    }

    /// Stores four outputs from `column`, a multiple of 4, of token `row`; those outside are left out.
    DEVICE void store4(int row, int column, f32x4 v) const {
        if (row >= m || column >= n) return;
        float values[4] = {v.x, v.y, v.z, v.w};
        if (column + 4 > n) {
#pragma unroll
            for (int i = 0; i < 3; i++) {
                if (column + i < n) store(row, column + i, values[i]);
            }
            return;
        }
        if (bias) {
            const f32x4 b = ldg(reinterpret_cast<const f32x4*>(bias + column));
            values[0] += b.x, values[1] += b.y, values[2] += b.z, values[3] += b.w;
        }
#pragma unroll
        for (int i = 0; i < 4; i++) values[i] = activate(values[i], activation);
        if (residual) add_residual4(row, column, values);
        const size_t index = size_t(row) * y_ld + column;
        if (y_element) {
            stg(reinterpret_cast<u32x2*>(static_cast<T*>(y) + index),
                u32x2{Operand<T>::pair(values[0], values[1]), Operand<T>::pair(values[2], values[3])});
        } else {
            stg(reinterpret_cast<f32x4*>(static_cast<float*>(y) + index),
                f32x4{values[0], values[1], values[2], values[3]});
        }
    }

  private:
    // Not ldg: the residual may be y, which this kernel writes.
    DEVICE float residual_at(int row, int column) const {
        const size_t index = size_t(row) * residual_ld + column;
        return residual_element ? to_float(ldg_mutable(static_cast<const T*>(residual) + index))
                                : ldg_mutable(static_cast<const float*>(residual) + index);
    }

    DEVICE void add_residual4(int row, int column, float (&values)[4]) const {
        const size_t index = size_t(row) * residual_ld + column;
        if (residual_element) {
            const u32x2 r = ldg_mutable(reinterpret_cast<const u32x2*>(static_cast<const T*>(residual) + index));
            const f32x2 low = Operand<T>::floats(r.x), high = Operand<T>::floats(r.y);
            values[0] += low.x, values[1] += low.y, values[2] += high.x, values[3] += high.y;
        } else {
            const f32x4 r = ldg_mutable(reinterpret_cast<const f32x4*>(static_cast<const float*>(residual) + index));
            values[0] += r.x, values[1] += r.y, values[2] += r.z, values[3] += r.w;
        }
    }
};
