// Square blocks of kWidth x kWidth: the bridge between rows in memory and rows as lanes.
#pragma once

#include "../simd.h"

namespace lsp {
namespace {

#if LSP_ISA_LEVEL >= 3

// Lane j of vector i becomes lane i of vector j.
inline void transpose(F32 (&a)[kWidth]) {
    __m512 t[16], u[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(a[i].v, a[i + 1].v);
        t[i + 1] = _mm512_unpackhi_ps(a[i].v, a[i + 1].v);
    }
    // u[4 k + c]: columns c, c + 4, c + 8, c + 12 of rows 4 k … 4 k + 3, one column in each quarter.
#pragma GCC unroll 16
    for (int i = 0; i < 16; i += 4) {
        const __m512d t0 = _mm512_castps_pd(t[i]), t1 = _mm512_castps_pd(t[i + 1]);
        const __m512d t2 = _mm512_castps_pd(t[i + 2]), t3 = _mm512_castps_pd(t[i + 3]);
        u[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(t0, t2));
        u[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(t0, t2));
        u[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(t1, t3));
        u[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(t1, t3));
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {
        const __m512 low_even = _mm512_shuffle_f32x4(u[c], u[c + 4], 0x88),
                     low_odd = _mm512_shuffle_f32x4(u[c], u[c + 4], 0xdd);
        const __m512 high_even = _mm512_shuffle_f32x4(u[c + 8], u[c + 12], 0x88);
        const __m512 high_odd = _mm512_shuffle_f32x4(u[c + 8], u[c + 12], 0xdd);
        a[c].v = _mm512_shuffle_f32x4(low_even, high_even, 0x88);
        a[c + 4].v = _mm512_shuffle_f32x4(low_odd, high_odd, 0x88);
        a[c + 8].v = _mm512_shuffle_f32x4(low_even, high_even, 0xdd);
        a[c + 12].v = _mm512_shuffle_f32x4(low_odd, high_odd, 0xdd);
    }
}

#elif LSP_ISA_LEVEL > 0

inline void transpose(F32 (&a)[kWidth]) {
    __m256 t[8], u[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(a[i].v, a[i + 1].v);
        t[i + 1] = _mm256_unpackhi_ps(a[i].v, a[i + 1].v);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; i += 4) {
        u[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        u[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        u[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        u[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {
        a[c].v = _mm256_permute2f128_ps(u[c], u[c + 4], 0x20);
        a[c + 4].v = _mm256_permute2f128_ps(u[c], u[c + 4], 0x31);
    }
}

#elif LSP_NEON_LEVEL > 0

inline void transpose(F32 (&a)[kWidth]) {
    const float64x2_t t0 = vreinterpretq_f64_f32(vtrn1q_f32(a[0].v, a[1].v));
    const float64x2_t t1 = vreinterpretq_f64_f32(vtrn2q_f32(a[0].v, a[1].v));
    const float64x2_t t2 = vreinterpretq_f64_f32(vtrn1q_f32(a[2].v, a[3].v));
    const float64x2_t t3 = vreinterpretq_f64_f32(vtrn2q_f32(a[2].v, a[3].v));
    a[0].v = vreinterpretq_f32_f64(vtrn1q_f64(t0, t2));
    a[1].v = vreinterpretq_f32_f64(vtrn1q_f64(t1, t3));
    a[2].v = vreinterpretq_f32_f64(vtrn2q_f64(t0, t2));
    a[3].v = vreinterpretq_f32_f64(vtrn2q_f64(t1, t3));
}

#else

inline void transpose(F32 (&a)[kWidth]) {
    F32 t[kWidth];
    for (int i = 0; i < kWidth; i++) t[i].v = Lanes{a[0].v[i], a[1].v[i], a[2].v[i], a[3].v[i]};
    for (int i = 0; i < kWidth; i++) a[i] = t[i];
}

#endif

// Lane i: the sum of vector i.
inline F32 sum_each(F32 (&a)[kWidth]) {
    transpose(a);
#pragma GCC unroll 4
    for (int half = kWidth / 2; half > 0; half /= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < half; i++) a[i] = a[i] + a[i + half];
    }
    return a[0];
}

}  // namespace
}  // namespace lsp
