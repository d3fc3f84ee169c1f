// The vector of simd.h for any architecture: 4 lanes of the compiler's own vectors, SSE2 or NEON to it.
#pragma once

#include <stdint.h>
#include <string.h>

#include "numeric.h"

namespace lsp {
namespace {

constexpr int kWidth = 4;
typedef float Lanes __attribute__((vector_size(16)));
typedef int32_t IntLanes __attribute__((vector_size(16)));
struct F32 {
    Lanes v;
};
inline F32 load(const float* p) {
    F32 a;
    memcpy(&a.v, p, 16);
    return a;
}
inline F32 load_partial(const float* p, int64_t n) {
    F32 a = {};
    memcpy(&a.v, p, 4 * n);
    return a;
}
inline void store(float* p, F32 a) { memcpy(p, &a.v, 16); }
inline void store_partial(float* p, F32 a, int64_t n) { memcpy(p, &a.v, 4 * n); }
inline F32 set1(float x) { return {Lanes{x, x, x, x}}; }
inline F32 operator+(F32 a, F32 b) { return {a.v + b.v}; }
inline F32 operator-(F32 a, F32 b) { return {a.v - b.v}; }
inline F32 operator*(F32 a, F32 b) { return {a.v * b.v}; }
inline F32 operator/(F32 a, F32 b) { return {a.v / b.v}; }
inline F32 fma(F32 a, F32 b, F32 c) { return {a.v * b.v + c.v}; }
inline F32 max(F32 a, F32 b) { return {a.v > b.v ? a.v : b.v}; }
inline F32 min(F32 a, F32 b) { return {a.v < b.v ? a.v : b.v}; }
inline F32 abs(F32 a) { return {(Lanes)((IntLanes)a.v & 0x7fffffff)}; }
inline F32 sqrt(F32 a) {
    for (int i = 0; i < kWidth; i++) a.v[i] = __builtin_sqrtf(a.v[i]);
    return a;
}
inline F32 select_negative(F32 x, F32 a, F32 b) {
    const IntLanes mask = (IntLanes)x.v >> 31;
    return {(Lanes)(((IntLanes)a.v & mask) | ((IntLanes)b.v & ~mask))};
}
// To nearest even; beyond 2^22 a float32 is left as it is.
inline F32 round(F32 a) {
    const Lanes magic = set1(12582912.0f).v;
    const IntLanes small = abs(a).v < set1(4194304.0f).v;
    const Lanes rounded = (a.v + magic) - magic;
    return {(Lanes)(((IntLanes)rounded & small) | ((IntLanes)a.v & ~small))};
}
inline bool any_nan(F32 a) {
    const IntLanes nan = a.v != a.v;
    return (nan[0] | nan[1] | nan[2] | nan[3]) != 0;
}
inline F32 scale_by_power(F32 a, F32 n) {
    for (int i = 0; i < kWidth; i++) {
        // A NaN has no integer value; the product with `a`, which is NaN as well, does not need one.
        const int all = n.v[i] == n.v[i] ? static_cast<int>(n.v[i]) : 0;
        const int half = all >> 1;
        a.v[i] = a.v[i] * bits_float(static_cast<uint32_t>(half + 127) << 23) *
                 bits_float(static_cast<uint32_t>(all - half + 127) << 23);
    }
    return a;
}
// half_to_float without branches: 2^112 moves the exponent of numbers, small ones included, to its place; infinity and
// NaN get the highest one.
inline F32 load_f16(const uint16_t* p) {
    const IntLanes half = {p[0], p[1], p[2], p[3]};
    const IntLanes magnitude = (half & 0x7fff) << 13;
    const IntLanes number = (IntLanes)((Lanes)magnitude * set1(0x1p112f).v);
    const IntLanes special = (magnitude >= 0x0f800000) & 0x7f800000;
    return {(Lanes)(number | special | (half & 0x8000) << 16)};
}
inline F32 load_f16_partial(const uint16_t* p, int64_t n) {
    F32 a = {};
    for (int64_t i = 0; i < n; i++) a.v[i] = half_to_float(p[i]);
    return a;
}
inline void store_f16_partial(uint16_t* p, F32 a, int64_t n) {
    for (int64_t i = 0; i < n; i++) p[i] = float_to_half(a.v[i]);
}
inline void store_f16(uint16_t* p, F32 a) { store_f16_partial(p, a, kWidth); }
inline F32 load_bf16(const uint16_t* p) {
    return {Lanes{bfloat_to_float(p[0]), bfloat_to_float(p[1]), bfloat_to_float(p[2]), bfloat_to_float(p[3])}};
}
inline void store_int8(int8_t* p, F32 a) {
    a = round(a);
    for (int i = 0; i < kWidth; i++) p[i] = static_cast<int8_t>(a.v[i]);
}
inline F32 load_bits(const uint8_t* p, int shift, int mask) {
    uint32_t words[kWidth];
    memcpy(words, p, sizeof words);
    F32 a;
    for (int i = 0; i < kWidth; i++) a.v[i] = static_cast<float>(words[i] >> shift & static_cast<uint32_t>(mask));
    return a;
}
inline float reduce_add(F32 a) { return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]); }
inline float reduce_max(F32 a) {
    const float first = a.v[0] > a.v[2] ? a.v[0] : a.v[2], second = a.v[1] > a.v[3] ? a.v[1] : a.v[3];
    return first > second ? first : second;
}

}  // namespace
}  // namespace lsp
