// A vector of float32 of the widest kind that the unit's instruction set has: LSP_ISA_LEVEL 0 portable (the compiler
// maps 4 lanes to SSE2 or NEON), 1 AVX2 + FMA + F16C, 2 AVX-512 F BW VL DQ, 3 the same with VNNI. Everything has
// internal linkage: this file is compiled once for each instruction set, and the linker must never take one unit's code
// for another's.
#pragma once

#include <stdint.h>
#include <string.h>

#if LSP_ISA_LEVEL > 0
#include <immintrin.h>
#endif

#include "numeric.h"

namespace lsp {
namespace {

#if LSP_ISA_LEVEL >= 2

constexpr int kWidth = 16;
struct F32 {
    __m512 v;
};
inline __mmask16 first_lanes(int64_t n) { return static_cast<__mmask16>((1u << n) - 1); }
inline F32 load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline F32 load_partial(const float* p, int64_t n) { return {_mm512_maskz_loadu_ps(first_lanes(n), p)}; }
inline void store(float* p, F32 a) { _mm512_storeu_ps(p, a.v); }
inline void store_partial(float* p, F32 a, int64_t n) { _mm512_mask_storeu_ps(p, first_lanes(n), a.v); }
inline F32 set1(float x) { return {_mm512_set1_ps(x)}; }
inline F32 operator+(F32 a, F32 b) { return {_mm512_add_ps(a.v, b.v)}; }
inline F32 operator-(F32 a, F32 b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline F32 operator*(F32 a, F32 b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline F32 operator/(F32 a, F32 b) { return {_mm512_div_ps(a.v, b.v)}; }
inline F32 fma(F32 a, F32 b, F32 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline F32 max(F32 a, F32 b) { return {_mm512_max_ps(a.v, b.v)}; }
inline F32 min(F32 a, F32 b) { return {_mm512_min_ps(a.v, b.v)}; }
inline F32 abs(F32 a) { return {_mm512_abs_ps(a.v)}; }
inline F32 sqrt(F32 a) { return {_mm512_sqrt_ps(a.v)}; }
inline F32 round(F32 a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
inline F32 select_negative(F32 x, F32 a, F32 b) {
    return {_mm512_mask_blend_ps(_mm512_movepi32_mask(_mm512_castps_si512(x.v)), b.v, a.v)};
}
inline bool any_nan(F32 a) { return _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q) != 0; }
inline F32 scale_by_power(F32 a, F32 n) { return {_mm512_scalef_ps(a.v, n.v)}; }
inline F32 load_f16(const uint16_t* p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline F32 load_f16_partial(const uint16_t* p, int64_t n) {
    return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(n), p))};
}
inline void store_f16(uint16_t* p, F32 a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
inline void store_f16_partial(uint16_t* p, F32 a, int64_t n) {
    _mm256_mask_storeu_epi16(p, first_lanes(n), _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
inline F32 load_bf16(const uint16_t* p) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}
// Rounded to nearest even; |a| at most 127.
inline void store_int8(int8_t* p, F32 a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a.v)));
}
// Lane i: bits `shift` ... of the i-th 32-bit word at p, under the mask, as a number.
inline F32 load_bits(const uint8_t* p, int shift, int mask) {
    const __m512i words = _mm512_srl_epi32(_mm512_loadu_si512(p), _mm_cvtsi32_si128(shift));
    return {_mm512_cvtepi32_ps(_mm512_and_si512(words, _mm512_set1_epi32(mask)))};
}
inline float reduce_add(F32 a) { return _mm512_reduce_add_ps(a.v); }
inline float reduce_max(F32 a) { return _mm512_reduce_max_ps(a.v); }

#elif LSP_ISA_LEVEL == 1

constexpr int kWidth = 8;
struct F32 {
    __m256 v;
};
inline __m256i first_lanes(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline F32 load(const float* p) { return {_mm256_loadu_ps(p)}; }
inline F32 load_partial(const float* p, int64_t n) { return {_mm256_maskload_ps(p, first_lanes(n))}; }
inline void store(float* p, F32 a) { _mm256_storeu_ps(p, a.v); }
inline void store_partial(float* p, F32 a, int64_t n) { _mm256_maskstore_ps(p, first_lanes(n), a.v); }
inline F32 set1(float x) { return {_mm256_set1_ps(x)}; }
inline F32 operator+(F32 a, F32 b) { return {_mm256_add_ps(a.v, b.v)}; }
inline F32 operator-(F32 a, F32 b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline F32 operator*(F32 a, F32 b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline F32 operator/(F32 a, F32 b) { return {_mm256_div_ps(a.v, b.v)}; }
inline F32 fma(F32 a, F32 b, F32 c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline F32 max(F32 a, F32 b) { return {_mm256_max_ps(a.v, b.v)}; }
inline F32 min(F32 a, F32 b) { return {_mm256_min_ps(a.v, b.v)}; }
inline F32 abs(F32 a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
inline F32 sqrt(F32 a) { return {_mm256_sqrt_ps(a.v)}; }
inline F32 round(F32 a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
inline F32 select_negative(F32 x, F32 a, F32 b) { return {_mm256_blendv_ps(b.v, a.v, x.v)}; }
inline bool any_nan(F32 a) { return _mm256_movemask_ps(_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q)) != 0; }
inline __m256 power_of_two(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}
// In two steps, so that results below 2^-126 and above 2^127 come out right.
inline F32 scale_by_power(F32 a, F32 n) {
    const __m256i all = _mm256_cvtps_epi32(n.v);
    const __m256i half = _mm256_srai_epi32(all, 1);
    return {_mm256_mul_ps(_mm256_mul_ps(a.v, power_of_two(half)), power_of_two(_mm256_sub_epi32(all, half)))};
}
inline F32 load_f16(const uint16_t* p) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
inline F32 load_f16_partial(const uint16_t* p, int64_t n) {
    uint16_t copy[8] = {};
    memcpy(copy, p, 2 * n);
    return load_f16(copy);
}
inline void store_f16(uint16_t* p, F32 a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                     _mm256_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
inline void store_f16_partial(uint16_t* p, F32 a, int64_t n) {
    uint16_t copy[8];
    store_f16(copy, a);
    memcpy(p, copy, 2 * n);
}
inline F32 load_bf16(const uint16_t* p) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(wide, 16))};
}
inline void store_int8(int8_t* p, F32 a) {
    const __m256i words = _mm256_cvtps_epi32(a.v);
    const __m128i shorts = _mm_packs_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(shorts, shorts));
}
inline F32 load_bits(const uint8_t* p, int shift, int mask) {
    const __m256i words =
        _mm256_srl_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), _mm_cvtsi32_si128(shift));
    return {_mm256_cvtepi32_ps(_mm256_and_si256(words, _mm256_set1_epi32(mask)))};
}
inline float reduce_add(F32 a) {
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}
inline float reduce_max(F32 a) {
    __m128 most = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
    most = _mm_max_ps(most, _mm_movehl_ps(most, most));
    return _mm_cvtss_f32(_mm_max_ss(most, _mm_movehdup_ps(most)));
}

#else

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

#endif

// What all share. max(a, b) and min(a, b) give b when either is NaN; select_negative(x, a, b) is a where x has its sign
// bit set, else b; reduce_max ignores or returns NaN as it likes: test for NaN where it matters.

inline F32 zero() { return set1(0.0f); }

// e^x within 2 units in the last place; 0 below -103.97, infinity above 88.73, NaN stays.
inline F32 exp(F32 x) {
    x = max(set1(-104.0f), min(set1(89.0f), x));
    const F32 n = round(x * set1(1.44269504088896341f));
    F32 r = fma(n, set1(-0.693359375f), x);
    r = fma(n, set1(2.12194440e-4f), r);
    // Taylor series on [-ln 2 / 2, ln 2 / 2]: the first term left out is below 2^-24 relative.
    F32 p = set1(1.0f / 5040);
    p = fma(p, r, set1(1.0f / 720));
    p = fma(p, r, set1(1.0f / 120));
    p = fma(p, r, set1(1.0f / 24));
    p = fma(p, r, set1(1.0f / 6));
    p = fma(p, r, set1(0.5f));
    p = fma(p, r, set1(1.0f));
    p = fma(p, r, set1(1.0f));
    return scale_by_power(p, n);
}

}  // namespace
}  // namespace lsp
