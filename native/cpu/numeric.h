// Conversions of single numbers. Internal linkage: this file is also compiled for instruction sets that not every
// machine has.
#pragma once

#include <stdint.h>
#include <string.h>

namespace lsp {
namespace {

inline uint32_t float_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

inline float bits_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

inline float half_to_float(uint16_t half) {
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
    const uint32_t magnitude = half & 0x7fff;
    if (magnitude >= 0x7c00) return bits_float(sign | 0x7f800000 | (magnitude & 0x3ff) << 13);
    if (magnitude >= 0x0400) return bits_float(sign | ((magnitude << 13) + (uint32_t{112} << 23)));
    // Subnormal: an integer multiple of 2^-24.
    return bits_float(sign | float_bits(static_cast<float>(magnitude) * 5.9604644775390625e-8f));
}

// Rounds to nearest even.
inline uint16_t float_to_half(float value) {
    const uint32_t bits = float_bits(value);
    const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
    const uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
    if (magnitude >= 0x47800000) return static_cast<uint16_t>(sign | 0x7c00);
    if (magnitude >= 0x38800000) {
        const uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
        return static_cast<uint16_t>(sign | ((rounded >> 13) - (112 << 10)));
    }
    // Subnormal: adding 0.5 leaves the multiple of 2^-24 in the low bits, rounded to nearest even by the addition
    // itself.
    const float shifted = bits_float(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (float_bits(shifted) - 0x3f000000));
}

inline float bfloat_to_float(uint16_t value) { return bits_float(static_cast<uint32_t>(value) << 16); }

// Rounds to nearest even.
inline uint16_t float_to_bfloat(float value) {
    const uint32_t bits = float_bits(value);
    if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>(bits >> 16 | 0x40);
    return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

}  // namespace
}  // namespace lsp
