// 8-bit activations: signed bytes with one float32 scale, the largest magnitude over 127, for each group of 32, 64 or
// 128 columns. A lane has four neighbouring columns, so a group belongs to 8, 16 or 32 neighbouring lanes.
#pragma once

#include "warp.cuh"

/// Largest of `lanes` (a power of two) neighbouring lanes' values; NaN if one of them is.
DEVICE float neighbours_max(float value, int lanes) {
    for (int mask = 1; mask < lanes; mask *= 2) {
        const float other = shuffle_xor(value, mask);
        value = (value != value || value > other) ? value : other;
    }
    return value;
}

DEVICE float absolute(float x) { return x < 0 ? -x : x; }

/// Nearest integer as a byte. What is not a number has a scale that is none either.
DEVICE uint32_t to_byte(float scaled) {
    const float rounded = rintf(scaled);
    return uint32_t(rounded == rounded ? int(minimum(maximum(rounded, -127.0f), 127.0f)) : 0) & 0xff;
}

/// Four columns as bytes.
struct QuantizedFour {
    uint32_t bytes;
    float scale;  // of their group
};

/// For all lanes of the warp: the bytes of a lane's columns and the scale of its group.
DEVICE QuantizedFour quantize_4(f32x4 v, int group) {
    float largest = absolute(v.x);
    const float others[3] = {absolute(v.y), absolute(v.z), absolute(v.w)};
    for (float other : others) largest = (largest != largest || largest > other) ? largest : other;
    largest = neighbours_max(largest, group / 4);
    const float inverse = largest > 0 ? 127.0f / largest : 0;
    return QuantizedFour{to_byte(v.x * inverse) | to_byte(v.y * inverse) << 8 | to_byte(v.z * inverse) << 16 |
                             to_byte(v.w * inverse) << 24,
                         largest / 127.0f};
}
