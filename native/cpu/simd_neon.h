// The vector of simd.h with the Advanced SIMD that every aarch64 processor has: 4 lanes.
#pragma once

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

namespace lsp {
namespace {

constexpr int kWidth = 4;
struct F32 {
    float32x4_t v;
};
inline F32 load(const float* p) { return {vld1q_f32(p)}; }
inline F32 load_partial(const float* p, int64_t n) {
    float copy[4] = {};
    memcpy(copy, p, 4 * n);
    return load(copy);
}
inline void store(float* p, F32 a) { vst1q_f32(p, a.v); }
inline void store_partial(float* p, F32 a, int64_t n) {
    float copy[4];
    store(copy, a);
    memcpy(p, copy, 4 * n);
}
inline F32 set1(float x) { return {vdupq_n_f32(x)}; }
inline F32 operator+(F32 a, F32 b) { return {vaddq_f32(a.v, b.v)}; }
inline F32 operator-(F32 a, F32 b) { return {vsubq_f32(a.v, b.v)}; }
inline F32 operator*(F32 a, F32 b) { return {vmulq_f32(a.v, b.v)}; }
inline F32 operator/(F32 a, F32 b) { return {vdivq_f32(a.v, b.v)}; }
inline F32 fma(F32 a, F32 b, F32 c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
// fmax and fmin would give NaN for a NaN on either side: compared and selected, as the other instruction sets do.
inline F32 max(F32 a, F32 b) { return {vbslq_f32(vcgtq_f32(a.v, b.v), a.v, b.v)}; }
inline F32 min(F32 a, F32 b) { return {vbslq_f32(vcltq_f32(a.v, b.v), a.v, b.v)}; }
inline F32 abs(F32 a) { return {vabsq_f32(a.v)}; }
inline F32 sqrt(F32 a) { return {vsqrtq_f32(a.v)}; }
inline F32 round(F32 a) { return {vrndnq_f32(a.v)}; }
inline F32 select_negative(F32 x, F32 a, F32 b) {
    const uint32x4_t negative = vreinterpretq_u32_s32(vshrq_n_s32(vreinterpretq_s32_f32(x.v), 31));
    return {vbslq_f32(negative, a.v, b.v)};
}
inline bool any_nan(F32 a) { return vminvq_u32(vceqq_f32(a.v, a.v)) == 0; }
inline float32x4_t power_of_two(int32x4_t n) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
}
// In two steps, so that results below 2^-126 and above 2^127 come out right.
inline F32 scale_by_power(F32 a, F32 n) {
    const int32x4_t all = vcvtq_s32_f32(n.v);
    const int32x4_t half = vshrq_n_s32(all, 1);
    return {vmulq_f32(vmulq_f32(a.v, power_of_two(half)), power_of_two(vsubq_s32(all, half)))};
}
inline F32 load_f16(const uint16_t* p) { return {vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)))}; }
inline F32 load_f16_partial(const uint16_t* p, int64_t n) {
    uint16_t copy[4] = {};
    memcpy(copy, p, 2 * n);
    return load_f16(copy);
}
inline void store_f16(uint16_t* p, F32 a) { vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(a.v))); }
inline void store_f16_partial(uint16_t* p, F32 a, int64_t n) {
    uint16_t copy[4];
    store_f16(copy, a);
    memcpy(p, copy, 2 * n);
}
inline F32 load_bf16(const uint16_t* p) { return {vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16))}; }
// Rounded to nearest even; |a| at most 127.
inline void store_int8(int8_t* p, F32 a) {
    const int16x4_t shorts = vmovn_s32(vcvtnq_s32_f32(a.v));
    const int8x8_t bytes = vmovn_s16(vcombine_s16(shorts, shorts));
    const int32_t word = vget_lane_s32(vreinterpret_s32_s8(bytes), 0);
    memcpy(p, &word, 4);
}
// Lane i: bits `shift` ... of the i-th 32-bit word at p, under the mask, as a number.
inline F32 load_bits(const uint8_t* p, int shift, int mask) {
    const uint32x4_t words = vshlq_u32(vreinterpretq_u32_u8(vld1q_u8(p)), vdupq_n_s32(-shift));
    return {vcvtq_f32_u32(vandq_u32(words, vdupq_n_u32(static_cast<uint32_t>(mask))))};
}
inline float reduce_add(F32 a) { return vaddvq_f32(a.v); }
inline float reduce_max(F32 a) { return vmaxvq_f32(a.v); }

}  // namespace
}  // namespace lsp
