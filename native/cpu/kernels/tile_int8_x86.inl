// The register tile of tile_int8.inl for x86.
#pragma once

#include <string.h>

#include "../simd.h"
#include "../weights.h"
#include "quantized_rows.inl"

namespace lsp {
namespace {

// Vectors of 32-bit sums; a byte vector holds four columns of as many rows.
#if LSP_ISA_LEVEL >= 3
typedef __m512i I32;
inline I32 load_bytes(const uint8_t* p) { return _mm512_load_si512(p); }
inline I32 broadcast_word(const int8_t* p) {
    int32_t word;
    memcpy(&word, p, 4);
    return _mm512_set1_epi32(word);
}
inline I32 low_nibbles(I32 a) { return _mm512_and_si512(a, _mm512_set1_epi8(15)); }
inline I32 high_nibbles(I32 a) { return _mm512_and_si512(_mm512_srli_epi16(a, 4), _mm512_set1_epi8(15)); }
inline I32 set1_words(int32_t x) { return _mm512_set1_epi32(x); }
inline I32 add_words(I32 a, I32 b) { return _mm512_add_epi32(a, b); }
inline F32 to_float(I32 a) { return {_mm512_cvtepi32_ps(a)}; }
#else
typedef __m256i I32;
inline I32 load_bytes(const uint8_t* p) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(p)); }
inline I32 broadcast_word(const int8_t* p) {
    int32_t word;
    memcpy(&word, p, 4);
    return _mm256_set1_epi32(word);
}
inline I32 low_nibbles(I32 a) { return _mm256_and_si256(a, _mm256_set1_epi8(15)); }
inline I32 high_nibbles(I32 a) { return _mm256_and_si256(_mm256_srli_epi16(a, 4), _mm256_set1_epi8(15)); }
inline I32 set1_words(int32_t x) { return _mm256_set1_epi32(x); }
inline I32 add_words(I32 a, I32 b) { return _mm256_add_epi32(a, b); }
inline F32 to_float(I32 a) { return {_mm256_cvtepi32_ps(a)}; }
#endif

// A vector of weights, ready for dot(sum, w, x) = sum + four products per lane.
#if LSP_ISA_LEVEL == 4 || LSP_ISA_LEVEL == 2
constexpr bool kSignedWeights = false;  // vpdpbusd takes q + offset as it is stored
template <bool kWide>
struct Weights {
    I32 v;
};
template <bool kWide>
inline Weights<kWide> prepare(I32 stored) {
    return {stored};
}
template <bool kWide>
inline I32 dot(I32 sum, Weights<kWide> w, I32 x) {
#if LSP_ISA_LEVEL == 4
    return _mm512_dpbusd_epi32(sum, w.v, x);
#else
    return _mm256_dpbusd_avx_epi32(sum, w.v, x);
#endif
}
#elif LSP_ISA_LEVEL == 3
// maddubs adds pairs of products in 16 bits. int4: at most 2 * 15 * 127, taken as stored. int8: the sign of w moves to
// x, so that a pair is at most 2 * 128 * 127 = 32512 and cannot saturate.
constexpr bool kSignedWeights = true;
template <bool kWide>
struct Weights {
    I32 v;
    __mmask64 negative;
};
template <bool kWide>
inline Weights<kWide> prepare(I32 stored) {
    if (!kWide) return {stored, 0};
    const I32 w = _mm512_xor_si512(stored, _mm512_set1_epi8(-128));
    return {_mm512_abs_epi8(w), _mm512_movepi8_mask(w)};
}
template <bool kWide>
inline I32 dot(I32 sum, Weights<kWide> w, I32 x) {
    if (kWide) x = _mm512_mask_sub_epi8(x, w.negative, _mm512_setzero_si512(), x);
    return _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_maddubs_epi16(w.v, x), _mm512_set1_epi16(1)));
}
#else
// As above, with vpsignb.
constexpr bool kSignedWeights = true;
template <bool kWide>
struct Weights {
    I32 v;
    I32 sign;
};
template <bool kWide>
inline Weights<kWide> prepare(I32 stored) {
    if (!kWide) return {stored, stored};
    const I32 w = _mm256_xor_si256(stored, _mm256_set1_epi8(-128));
    return {_mm256_abs_epi8(w), w};
}
template <bool kWide>
inline I32 dot(I32 sum, Weights<kWide> w, I32 x) {
    if (kWide) x = _mm256_sign_epi8(x, w.sign);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(w.v, x), _mm256_set1_epi16(1)));
}
#endif

// The offset of stored weights that the sum of the activations has to take back.
inline int weight_offset(bool wide) { return wide ? (kSignedWeights ? 0 : 128) : 8; }

// sum [MR][2] += products of four columns of two vectors of rows, `row` on, with MR rows of x.
template <int MR, bool kWide>
__attribute__((always_inline)) inline void four_columns(const uint8_t* bytes, int row, const int8_t* values,
                                                        I32 (&sum)[MR][2]) {
    Weights<kWide> w0, w1;
    if (kWide) {
        w0 = prepare<kWide>(load_bytes(bytes));
        w1 = prepare<kWide>(load_bytes(bytes + 4 * kWidth));
    } else if (LSP_ISA_LEVEL >= 3) {
        const I32 both = load_bytes(bytes);
        w0 = prepare<kWide>(low_nibbles(both));
        w1 = prepare<kWide>(high_nibbles(both));
    } else {
        const I32 a = load_bytes(bytes), b = load_bytes(bytes + 4 * kWidth);
        w0 = prepare<kWide>(row < 16 ? low_nibbles(a) : high_nibbles(a));
        w1 = prepare<kWide>(row < 16 ? low_nibbles(b) : high_nibbles(b));
    }
#pragma GCC unroll 12
    for (int i = 0; i < MR; i++) {
        const I32 four = broadcast_word(values + 4 * i);
        sum[i][0] = dot<kWide>(sum[i][0], w0, four);
        sum[i][1] = dot<kWide>(sum[i][1], w1, four);
    }
}

// Groups of a panel from w on. columns: of all of them, a multiple of four; group: of all but perhaps the
// last. kAddsLast: start is added to the sums at the end of a group, where they begin with zero; the same numbers.
template <int MR, bool kWide, bool kAddsLast = false>
void int8_tile(const uint8_t* w, int64_t columns, int group, const QuantizedRows& x, float* acc) {
    constexpr int kStep = kWide ? 128 : 64;  // bytes of four columns of a panel
    // A short tile keeps two sums per row and vector, so that consecutive products do not wait for each other.
    constexpr int kUnroll = MR <= 2 ? 2 : 1;
    // With so few rows the weights come from memory and are used at once. The processor's own prefetching stops at
    // every page and leaves a third of the bandwidth unused.
    constexpr bool kPrefetches = MR <= 2;
    constexpr int kPrefetchBytes = 3072;
    for (int row = 0; row < kPanel; row += 2 * kWidth) {
        const int first = kWide ? row * 4 : row % 16 * 4;
        const uint8_t* block = w;
        const int8_t* values = x.values;
        const float* x_scales = x.scales;
        const int32_t* start = x.start;
        F32 total[MR][2];
        constexpr bool kInRegisters = MR <= (LSP_ISA_LEVEL >= 3 ? 6 : 2);
        if (kInRegisters) {
#pragma GCC unroll 12
            for (int i = 0; i < MR; i++) {
                total[i][0] = load(acc + i * kPanel + row);
                total[i][1] = load(acc + i * kPanel + row + kWidth);
            }
        }
        for (int64_t left = columns; left > 0; left -= group) {
            const int64_t here = left < group ? left : group;
            const uint8_t* bytes = block + 2 * kPanel + first;
            I32 sum[MR][2], more[MR][2];
#pragma GCC unroll 12
            for (int i = 0; i < MR; i++) {
                sum[i][0] = sum[i][1] = set1_words(kAddsLast ? 0 : start[i]);
                if (kUnroll == 2) more[i][0] = more[i][1] = set1_words(0);
            }
            if (kPrefetches) prefetch(block + kPrefetchBytes);
            for (int64_t steps = here / (4 * kUnroll); steps > 0; steps--) {
                if (kPrefetches) {
                    for (int at = 0; at < kUnroll * kStep; at += 64) prefetch(bytes - first + kPrefetchBytes + at);
                }
                four_columns<MR, kWide>(bytes, row, values, sum);
                if (kUnroll == 2) four_columns<MR, kWide>(bytes + kStep, row, values + 4 * MR, more);
                bytes += kUnroll * kStep;
                values += kUnroll * 4 * MR;
            }
            if (kUnroll == 2 && here % 8 != 0) {
                four_columns<MR, kWide>(bytes, row, values, sum);
                values += 4 * MR;
            }

            const F32 s0 = load_f16(reinterpret_cast<const uint16_t*>(block) + row);
            const F32 s1 = load_f16(reinterpret_cast<const uint16_t*>(block) + row + kWidth);
#pragma GCC unroll 12
            for (int i = 0; i < MR; i++) {
                const F32 scale = set1(x_scales[i]);
                I32 a = sum[i][0], b = sum[i][1];
                if (kAddsLast) {
                    const I32 all = set1_words(start[i]);
                    a = add_words(a, all);
                    b = add_words(b, all);
                }
                if (kUnroll == 2) {
                    a = add_words(a, more[i][0]);
                    b = add_words(b, more[i][1]);
                }
                if (kInRegisters) {
                    total[i][0] = fma(to_float(a), s0 * scale, total[i][0]);
                    total[i][1] = fma(to_float(b), s1 * scale, total[i][1]);
                } else {
                    float* out = acc + i * kPanel + row;
                    store(out, fma(to_float(a), s0 * scale, load(out)));
                    store(out + kWidth, fma(to_float(b), s1 * scale, load(out + kWidth)));
                }
            }
            block += 2 * kPanel + group / 4 * kStep;
            x_scales += MR;
            start += MR;
        }
        if (kInRegisters) {
#pragma GCC unroll 12
            for (int i = 0; i < MR; i++) {
                store(acc + i * kPanel + row, total[i][0]);
                store(acc + i * kPanel + row + kWidth, total[i][1]);
            }
        }
    }
}

}  // namespace
}  // namespace lsp
