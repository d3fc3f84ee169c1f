// Storage types of the kernels. Arithmetic is float32; f16 is IEEE half in memory.
#pragma once

#include <cstdint>

#include "platform.cuh"

/// IEEE half, as memory holds it.
struct f16 {
    uint16_t bits;
};

/// Two halves in one register: the low half is the element at the lower address.
struct alignas(4) f16x2 {
    uint32_t bits;
};

/// 8 and 16 bytes: what one thread moves at once.
struct alignas(8) u32x2 {
    uint32_t x, y;
};
struct alignas(16) u32x4 {
    uint32_t x, y, z, w;
};
struct alignas(8) f32x2 {
    float x, y;
};
struct alignas(16) f32x4 {
    float x, y, z, w;
};

#if LSP_EMULATOR
DEVICE float bits_to_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}
DEVICE uint32_t float_to_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}
// float32 then one rounding: exact for single operations, since a product of two halves fits a float32.
DEVICE float to_float(f16 value) { return emulator::half_to_float(value.bits); }
DEVICE f16 to_f16(float value) { return f16{emulator::float_to_half(value)}; }
DEVICE f32x2 to_float(f16x2 value) {
    return f32x2{emulator::half_to_float(uint16_t(value.bits)), emulator::half_to_float(uint16_t(value.bits >> 16))};
}
DEVICE f16x2 to_f16x2(float low, float high) {
    return f16x2{uint32_t(emulator::float_to_half(low)) | uint32_t(emulator::float_to_half(high)) << 16};
}
/// A product that is rounded by itself, where the compiler would make one operation of it and a sum.
DEVICE float mul(float a, float b) { return a * b; }
DEVICE f16x2 mul(f16x2 a, f16x2 b) {
    const f32x2 x = to_float(a), y = to_float(b);
    return to_f16x2(x.x * y.x, x.y * y.y);
}
DEVICE f16x2 sub(f16x2 a, f16x2 b) {
    const f32x2 x = to_float(a), y = to_float(b);
    return to_f16x2(x.x - y.x, x.y - y.y);
}
#else
DEVICE float bits_to_float(uint32_t bits) {
    float value;
    asm("mov.b32 %0, %1;" : "=f"(value) : "r"(bits));
    return value;
}
DEVICE uint32_t float_to_bits(float value) {
    uint32_t bits;
    asm("mov.b32 %0, %1;" : "=r"(bits) : "f"(value));
    return bits;
}
DEVICE float to_float(f16 value) {
    float result;
    asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
    return result;
}
DEVICE f16 to_f16(float value) {
    f16 result;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
    return result;
}
DEVICE f32x2 to_float(f16x2 value) {
    return f32x2{to_float(f16{uint16_t(value.bits)}), to_float(f16{uint16_t(value.bits >> 16)})};
}
DEVICE f16x2 to_f16x2(float low, float high) {
    return f16x2{uint32_t(to_f16(low).bits) | uint32_t(to_f16(high).bits) << 16};
}
DEVICE float mul(float a, float b) {
    float result;
    asm("mul.rn.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
    return result;
}
DEVICE f16x2 mul(f16x2 a, f16x2 b) {
    f16x2 result;
    asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(result.bits) : "r"(a.bits), "r"(b.bits));
    return result;
}
DEVICE f16x2 sub(f16x2 a, f16x2 b) {
    f16x2 result;
    asm("sub.rn.f16x2 %0, %1, %2;" : "=r"(result.bits) : "r"(a.bits), "r"(b.bits));
    return result;
}
#endif
