// A vector of float32 of the widest kind that the unit's instruction set has. x86: LSP_ISA_LEVEL 1 AVX2 + FMA + F16C,
// 2 the same with AVX-VNNI, 3 AVX-512 F BW VL DQ, 4 the same with VNNI; LSP_AMX beside 4: int8 tiles. aarch64:
// LSP_NEON_LEVEL 1 Advanced SIMD, 2 the same with dot products (sdot), 3 and with int8 matrix products (usdot, usmmla).
// Neither: portable. Everything has internal linkage: this file is compiled once for each instruction set, and the
// linker must never take one unit's code for another's.
#pragma once

#ifndef LSP_ISA_LEVEL
#define LSP_ISA_LEVEL 0
#endif
#ifndef LSP_NEON_LEVEL
#define LSP_NEON_LEVEL 0
#endif

// How many vector registers the tiles may fill.
#if LSP_ISA_LEVEL >= 3 || LSP_NEON_LEVEL > 0
#define LSP_VECTOR_REGISTERS 32
#else
#define LSP_VECTOR_REGISTERS 16
#endif

#if LSP_NEON_LEVEL > 0
#include "simd_neon.h"
#elif LSP_ISA_LEVEL >= 3
#include "simd_avx512.h"
#elif LSP_ISA_LEVEL > 0
#include "simd_avx2.h"
#else
#include "simd_portable.h"
#endif

#include "numeric.h"

namespace lsp {
namespace {

// What all share. max(a, b) and min(a, b) give b when either is NaN; select_negative(x, a, b) is a where x has its sign
// bit set, else b; reduce_max ignores or returns NaN as it likes: test for NaN where it matters.

inline F32 zero() { return set1(0.0f); }

// Asks for the cache line at p, which need not exist.
inline void prefetch(const void* p) { __builtin_prefetch(p); }

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
