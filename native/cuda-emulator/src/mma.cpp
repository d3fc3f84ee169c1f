#include "mma.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace emulator {
namespace {

// The operands as plain matrices, b by rows.
struct Halves {  // f16 or bf16
    alignas(64) uint16_t a[16][16], b[16][8];
};
struct Floats {
    alignas(64) float a[16][16], b[16][8], d[16][8];
};

inline __attribute__((always_inline)) void collect(const Lane* lanes, Halves& halves, Floats& floats) {
    for (int lane = 0; lane < 32; lane++) {
        const uint32_t* a = static_cast<const uint32_t*>(lanes[lane].operands[0]);
        const uint32_t* b = static_cast<const uint32_t*>(lanes[lane].operands[1]);
        const float* d = static_cast<const float*>(lanes[lane].result);
        const int g = lane / 4, t = lane % 4 * 2;
        memcpy(&halves.a[g][t], a, 4);
        memcpy(&halves.a[g + 8][t], a + 1, 4);
        memcpy(&halves.a[g][t + 8], a + 2, 4);
        memcpy(&halves.a[g + 8][t + 8], a + 3, 4);
        halves.b[t][g] = uint16_t(b[0]);
        halves.b[t + 1][g] = uint16_t(b[0] >> 16);
        halves.b[t + 8][g] = uint16_t(b[1]);
        halves.b[t + 9][g] = uint16_t(b[1] >> 16);
        memcpy(&floats.d[g][t], d, 8);
        memcpy(&floats.d[g + 8][t], d + 2, 8);
    }
}

inline __attribute__((always_inline)) void deliver(Lane* lanes, const Floats& floats) {
    for (int lane = 0; lane < 32; lane++) {
        float* d = static_cast<float*>(lanes[lane].result);
        const int g = lane / 4, t = lane % 4 * 2;
        memcpy(d, &floats.d[g][t], 8);
        memcpy(d + 2, &floats.d[g + 8][t], 8);
    }
}

float bfloat_to_float(uint16_t bfloat) {
    const uint32_t bits = uint32_t(bfloat) << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

template <float (*Widen)(uint16_t)>
void multiply_plain(Lane* lanes) {
    Halves halves;
    Floats f;
    collect(lanes, halves, f);
    for (int i = 0; i < 16; i++) {
        for (int k = 0; k < 16; k++) f.a[i][k] = Widen(halves.a[i][k]);
        for (int j = 0; j < 8; j++) f.b[i][j] = Widen(halves.b[i][j]);
    }
    for (int i = 0; i < 16; i++) {
        for (int k = 0; k < 16; k++) {
            for (int j = 0; j < 8; j++) f.d[i][j] += f.a[i][k] * f.b[k][j];
        }
    }
    deliver(lanes, f);
}

#if defined(__x86_64__)
#define LSP_AVX2 __attribute__((target("avx2,fma,f16c")))

/// Eight f16 or bf16.
template <bool Bfloat>
LSP_AVX2 inline __attribute__((always_inline)) __m256 widen8(const uint16_t* from) {
    const __m128i bits = _mm_load_si128(reinterpret_cast<const __m128i*>(from));
    if constexpr (Bfloat) return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
    return _mm256_cvtph_ps(bits);
}

// The product of two halves is exact in float32 (of two bfloats, too, where it is in its range), so fused or not gives
// the same bits as above.
template <bool Bfloat>
LSP_AVX2 void multiply_avx2(Lane* lanes) {
    Halves halves;
    Floats f;
    collect(lanes, halves, f);
    __m256 b[16];
    for (int k = 0; k < 16; k++) {
        _mm256_store_ps(f.a[k], widen8<Bfloat>(halves.a[k]));
        _mm256_store_ps(f.a[k] + 8, widen8<Bfloat>(halves.a[k] + 8));
        b[k] = widen8<Bfloat>(halves.b[k]);
    }
    // Eight rows at a time hide the latency of the additions, which go one after the other.
    for (int first = 0; first < 16; first += 8) {
        __m256 d[8];
        for (int i = 0; i < 8; i++) d[i] = _mm256_load_ps(f.d[first + i]);
        for (int k = 0; k < 16; k++) {
            for (int i = 0; i < 8; i++) d[i] = _mm256_fmadd_ps(_mm256_broadcast_ss(&f.a[first + i][k]), b[k], d[i]);
        }
        for (int i = 0; i < 8; i++) _mm256_store_ps(f.d[first + i], d[i]);
    }
    deliver(lanes, f);
}

bool has_avx2() {
    static const bool has =
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    return has;
}
#endif

}  // namespace

void multiply_f16(Lane* lanes) {
#if defined(__x86_64__)
    if (has_avx2()) return multiply_avx2<false>(lanes);
#endif
    multiply_plain<half_to_float>(lanes);
}

void multiply_bf16(Lane* lanes) {
#if defined(__x86_64__)
    if (has_avx2()) return multiply_avx2<true>(lanes);
#endif
    multiply_plain<bfloat_to_float>(lanes);
}

void multiply_s8(Lane* lanes) {
    int8_t a[16][32];
    alignas(64) int32_t b[32][8], d[16][8];
    for (int lane = 0; lane < 32; lane++) {
        const uint32_t* x = static_cast<const uint32_t*>(lanes[lane].operands[0]);
        const int8_t* y = static_cast<const int8_t*>(lanes[lane].operands[1]);
        const int32_t* z = static_cast<const int32_t*>(lanes[lane].result);
        const int g = lane / 4, t = lane % 4;
        memcpy(&a[g][t * 4], x, 4);
        memcpy(&a[g + 8][t * 4], x + 1, 4);
        memcpy(&a[g][t * 4 + 16], x + 2, 4);
        memcpy(&a[g + 8][t * 4 + 16], x + 3, 4);
        for (int i = 0; i < 4; i++) {
            b[t * 4 + i][g] = y[i];
            b[t * 4 + i + 16][g] = y[i + 4];
        }
        memcpy(&d[g][t * 2], z, 8);
        memcpy(&d[g + 8][t * 2], z + 2, 8);
    }
    // Unsigned: an overflow wraps.
    for (int i = 0; i < 16; i++) {
        for (int k = 0; k < 32; k++) {
            for (int j = 0; j < 8; j++) d[i][j] = int32_t(uint32_t(d[i][j]) + uint32_t(a[i][k] * b[k][j]));
        }
    }
    for (int lane = 0; lane < 32; lane++) {
        int32_t* z = static_cast<int32_t*>(lanes[lane].result);
        const int g = lane / 4, t = lane % 4 * 2;
        memcpy(z, &d[g][t], 8);
        memcpy(z + 2, &d[g + 8][t], 8);
    }
}

}  // namespace emulator
