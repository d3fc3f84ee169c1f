// Elements of activations whose type is known only at run time (0 = float32, 1 = f16, 2 = bf16): for what is read or
// written outside main loops.
#pragma once

#include "memory.cuh"

constexpr int kElementF32 = 0, kElementF16 = 1, kElementBF16 = 2;

DEVICE float read_element(const void* base, int element, int64_t index) {
    if (element == kElementF16) return to_float(ldg(static_cast<const f16*>(base) + index));
    if (element == kElementBF16) return to_float(ldg(static_cast<const bf16*>(base) + index));
    return ldg(static_cast<const float*>(base) + index);
}

DEVICE void write_element(void* base, int element, int64_t index, float value) {
    if (element == kElementF16) {
        stg(static_cast<f16*>(base) + index, to_f16(value));
    } else if (element == kElementBF16) {
        stg(static_cast<bf16*>(base) + index, to_bf16(value));
    } else {
        stg(static_cast<float*>(base) + index, value);
    }
}

/// sum += 8 elements from index on; they begin at a multiple of 16 bytes.
DEVICE void add_8_elements(float (&sum)[8], const void* base, int element, int64_t index) {
    if (element != kElementF32) {
        const u32x4 v = ldg(reinterpret_cast<const u32x4*>(static_cast<const f16*>(base) + index));
        const uint32_t words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const f32x2 pair = element == kElementBF16 ? to_float(bf16x2{words[i]}) : to_float(f16x2{words[i]});
            sum[2 * i] += pair.x;
            sum[2 * i + 1] += pair.y;
        }
    } else {
        const f32x4* from = reinterpret_cast<const f32x4*>(static_cast<const float*>(base) + index);
        const f32x4 low = ldg(from), high = ldg(from + 1);
        const float values[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
        for (int i = 0; i < 8; i++) sum[i] += values[i];
    }
}

/// 8 numbers as 16 bytes of f16 or bf16.
template <typename T = f16>
DEVICE u32x4 to_8_halves(const float (&v)[8]) {
    using To = Operand<T>;
    return u32x4{To::pair(v[0], v[1]), To::pair(v[2], v[3]), To::pair(v[4], v[5]), To::pair(v[6], v[7])};
}

/// torch.nan_to_num: NaN to zero, infinities to the largest finite values.
DEVICE float nan_to_num(float x) {
    constexpr float kLargest = 3.402823466e38f;
    if (x != x) return 0.0f;
    return x > kLargest ? kLargest : x < -kLargest ? -kLargest : x;
}
