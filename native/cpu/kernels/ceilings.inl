// Loops that reach what one thread of this machine can do: see bench.cpp.
#pragma once

#include "tile_int8.inl"

namespace lsp {
namespace {

// Reads every cache line of `data` (a multiple of 256 bytes) once.
float bench_read(const uint8_t* data, int64_t bytes) {
    F32 sum[4] = {zero(), zero(), zero(), zero()};
    const float* p = reinterpret_cast<const float*>(data);
    for (int64_t i = 0; i < bytes / 4; i += 4 * kWidth) {
        for (int j = 0; j < 4; j++) sum[j] = max(sum[j], load(p + i + j * kWidth));
    }
    return reduce_max(max(max(sum[0], sum[1]), max(sum[2], sum[3])));
}

constexpr int kChains = LSP_VECTOR_REGISTERS == 32 ? 24 : 12;  // independent sums, enough to hide the latency

float bench_fma(int64_t rounds) {
    F32 sum[kChains];
#pragma GCC unroll 24
    for (int i = 0; i < kChains; i++) sum[i] = set1(static_cast<float>(i));
    F32 a = set1(0.999f), b = set1(1e-3f);
    for (int64_t r = 0; r < rounds; r++) {
        asm volatile("" : "+x"(a.v), "+x"(b.v));  // not to be hoisted or folded
#pragma GCC unroll 24
        for (int i = 0; i < kChains; i++) sum[i] = fma(sum[i], a, b);
    }
    F32 total = zero();
    for (int i = 0; i < kChains; i++) total = total + sum[i];
    return reduce_add(total);
}

#if LSP_AMX
constexpr int64_t kInt8PerRound = int64_t{4} * 16 * 16 * 64;

// Four tiles of sums: each of two tiles of x with each of two of weights.
int32_t bench_int8_dot(int64_t rounds) {
    configure_tiles(64);
    alignas(64) int32_t sums[16 * 16];
    LSP_TILE_ZERO(0);
    LSP_TILE_ZERO(1);
    LSP_TILE_ZERO(2);
    LSP_TILE_ZERO(3);
    LSP_TILE_ZERO(4);
    LSP_TILE_ZERO(5);
    LSP_TILE_ZERO(6);
    LSP_TILE_ZERO(7);
    for (int64_t r = 0; r < rounds; r++) {
        LSP_TILE_PRODUCT(0, 4, 6);
        LSP_TILE_PRODUCT(1, 4, 7);
        LSP_TILE_PRODUCT(2, 5, 6);
        LSP_TILE_PRODUCT(3, 5, 7);
    }
    LSP_TILE_STORE(0, sums, 64);
    release_tiles();
    return sums[0];
}
#elif LSP_ISA_LEVEL == 4 || LSP_ISA_LEVEL == 2
#if LSP_ISA_LEVEL == 4
#define LSP_DPBUSD "vpdpbusd"
#else
#define LSP_DPBUSD "%{vex%} vpdpbusd"
#endif
constexpr int64_t kInt8PerRound = int64_t{12} * kWidth * 4;

// Twelve sums in registers. The instruction itself: from the intrinsic g++ 12 makes moves between the sums, which halve
// the rate.
int32_t bench_int8_dot(int64_t rounds) {
    I32 a = set1_words(0), b = a, c = a, d = a, e = a, f = a, g = a, h = a, i = a, j = a, k = a, l = a;
    const I32 w = set1_words(0x01020304), x = set1_words(0x04030201);
    for (int64_t r = 0; r < rounds; r++) {
        asm volatile(
            LSP_DPBUSD " %12, %13, %0\n\t" LSP_DPBUSD " %12, %13, %1\n\t" LSP_DPBUSD " %12, %13, %2\n\t" LSP_DPBUSD
                       " %12, %13, %3\n\t" LSP_DPBUSD " %12, %13, %4\n\t" LSP_DPBUSD " %12, %13, %5\n\t" LSP_DPBUSD
                       " %12, %13, %6\n\t" LSP_DPBUSD " %12, %13, %7\n\t" LSP_DPBUSD " %12, %13, %8\n\t" LSP_DPBUSD
                       " %12, %13, %9\n\t" LSP_DPBUSD " %12, %13, %10\n\t" LSP_DPBUSD " %12, %13, %11"
            : "+v"(a), "+v"(b), "+v"(c), "+v"(d), "+v"(e), "+v"(f), "+v"(g), "+v"(h), "+v"(i), "+v"(j), "+v"(k), "+v"(l)
            : "v"(w), "v"(x));
    }
    const F32 total = to_float(a) + to_float(b) + to_float(c) + to_float(d) + to_float(e) + to_float(f) + to_float(g) +
                      to_float(h) + to_float(i) + to_float(j) + to_float(k) + to_float(l);
    return reduce_add(total) == 0.5f ? 1 : 0;
}
#elif LSP_ISA_LEVEL > 0
constexpr int64_t kInt8PerRound = int64_t{kChains} * kWidth * 4;

int32_t bench_int8_dot(int64_t rounds) {
    I32 sum[kChains];
#pragma GCC unroll 24
    for (int i = 0; i < kChains; i++) sum[i] = set1_words(i);
    // Four-bit weights: the form without moves of signs.
    Weights<false> w = prepare<false>(set1_words(0x01020304));
    I32 x = set1_words(0x04030201);
    for (int64_t r = 0; r < rounds; r++) {
        asm volatile("" : "+x"(w.v), "+x"(x));
#pragma GCC unroll 24
        for (int i = 0; i < kChains; i++) sum[i] = dot<false>(sum[i], w, x);
    }
    F32 total = zero();
    for (int i = 0; i < kChains; i++) total = total + to_float(sum[i]);
    return reduce_add(total) == 0.5f ? 1 : 0;
}
#elif LSP_NEON_LEVEL > 0
#if LSP_NEON_LEVEL == 3
constexpr int64_t kInt8PerRound = int64_t{kChains} * 32;
inline int32x4_t most_products(int32x4_t sum, Weights w, int8x16_t x) { return vusmmlaq_s32(sum, w, x); }
#else
constexpr int64_t kInt8PerRound = int64_t{kChains} * 16;
inline int32x4_t most_products(int32x4_t sum, Weights w, int8x16_t x) { return dot<0>(sum, w, x); }
#endif

int32_t bench_int8_dot(int64_t rounds) {
    int32x4_t sum[kChains];
#pragma GCC unroll 24
    for (int i = 0; i < kChains; i++) sum[i] = vdupq_n_s32(i);
    Weights w = prepare<false>(vdupq_n_u8(3));
    int8x16_t x = vdupq_n_s8(2);
    for (int64_t r = 0; r < rounds; r++) {
        asm volatile("" : "+x"(w), "+x"(x));
#pragma GCC unroll 24
        for (int i = 0; i < kChains; i++) sum[i] = most_products(sum[i], w, x);
    }
    int32x4_t total = vdupq_n_s32(0);
    for (int i = 0; i < kChains; i++) total = vaddq_s32(total, sum[i]);
    return vaddvq_s32(total) == 1 ? 1 : 0;
}
#else
constexpr int64_t kInt8PerRound = 64;

int32_t bench_int8_dot(int64_t rounds) {
    int8_t w[64], x[64];
    for (int i = 0; i < 64; i++) w[i] = static_cast<int8_t>(i), x[i] = static_cast<int8_t>(64 - i);
    int32_t sum = 0;
    for (int64_t r = 0; r < rounds; r++) {
        asm volatile("" : : "r"(w), "r"(x) : "memory");
        for (int i = 0; i < 64; i++)
            sum = static_cast<int32_t>(static_cast<uint32_t>(sum) + static_cast<uint32_t>(w[i] * x[i]));
    }
    return sum;
}
#endif

}  // namespace
}  // namespace lsp
