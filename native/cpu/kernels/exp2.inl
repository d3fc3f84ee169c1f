#pragma once

#include "../simd.h"

namespace lsp {
namespace {

// a * 2^n for whole n from kLeastPower to 0; zero at kLeastPower. One step, unlike scale_by_power.
#if LSP_ISA_LEVEL >= 3
constexpr float kLeastPower = -200.0f;
inline F32 scale_down(F32 a, F32 n) { return {_mm512_scalef_ps(a.v, n.v)}; }
#elif LSP_ISA_LEVEL > 0
constexpr float kLeastPower = -127.0f;
inline F32 scale_down(F32 a, F32 n) { return {_mm256_mul_ps(a.v, power_of_two(_mm256_cvtps_epi32(n.v)))}; }
#elif LSP_NEON_LEVEL > 0
constexpr float kLeastPower = -127.0f;
inline F32 scale_down(F32 a, F32 n) { return {vmulq_f32(a.v, power_of_two(vcvtq_s32_f32(n.v)))}; }
#else
constexpr float kLeastPower = -127.0f;
inline F32 scale_down(F32 a, F32 n) {
    // The bits of 2^23 + 127 + n end in the exponent wanted. A NaN has no exponent: `a` carries it on.
    const IntLanes exponent = (IntLanes)(n.v + set1(8388608.0f + 127.0f).v) & 0xff;
    return {a.v * (Lanes)(exponent << 23)};
}
#endif

// 2^x for x <= 0 within 2 units in the last place, exactly 1 at 0; zero where that leaves the normal numbers
// (the weight of a score so far from the largest); NaN stays.
inline F32 exp2_negative(F32 x) {
    x = max(set1(kLeastPower), x);
    const F32 n = round(x);
    const F32 r = x - n;
    // Minimax polynomial of (2^r - 1) / r on [-1/2, 1/2]: 2e-9 relative.
    F32 p = set1(1.535336156e-4f);
    p = fma(p, r, set1(1.339887440e-3f));
    p = fma(p, r, set1(9.618437358e-3f));
    p = fma(p, r, set1(5.550332471e-2f));
    p = fma(p, r, set1(2.402264791e-1f));
    p = fma(p, r, set1(6.931472029e-1f));
    p = fma(p, r, set1(1.0f));
    return scale_down(p, n);
}

}  // namespace
}  // namespace lsp
