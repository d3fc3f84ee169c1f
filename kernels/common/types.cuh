// Storage types of the kernels. Arithmetic is float32; f16 is IEEE half in memory, bf16 the upper half of a float32.
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

/// bfloat16, as memory holds it.
struct bf16 {
    uint16_t bits;
};

/// Two bfloat16 in one register, as f16x2.
struct alignas(4) bf16x2 {
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

DEVICE float to_float(bf16 value) { return bits_to_float(uint32_t(value.bits) << 16); }
DEVICE f32x2 to_float(bf16x2 value) {
    return f32x2{bits_to_float(value.bits << 16), bits_to_float(value.bits & 0xffff0000u)};
}
#if !LSP_EMULATOR && defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
DEVICE bf16 to_bf16(float value) {
    bf16 result;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
    return result;
}
DEVICE bf16x2 to_bf16x2(float low, float high) {
    bf16x2 result;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(result.bits) : "f"(high), "f"(low));
    return result;
}
#else
/// To nearest, ties to even; every NaN becomes 0x7fff, as the instruction has it.
DEVICE bf16 to_bf16(float value) {
    const uint32_t bits = float_to_bits(value);
    return bf16{uint16_t(value == value ? (bits + 0x7fffu + (bits >> 16 & 1)) >> 16 : 0x7fffu)};
}
DEVICE bf16x2 to_bf16x2(float low, float high) {
    return bf16x2{uint32_t(to_bf16(low).bits) | uint32_t(to_bf16(high).bits) << 16};
}
#endif

/// The element type of a product's operands, f16 or bf16, for templates over it. A pair is two elements in one
/// register, the low half the one at the lower address.
template <typename T>
struct Operand;
template <>
struct Operand<f16> {
    static constexpr bool kIsBF16 = false;
    DEVICE static f16 from(float value) { return to_f16(value); }
    DEVICE static uint32_t pair(float low, float high) { return to_f16x2(low, high).bits; }
    DEVICE static f32x2 floats(uint32_t pair) { return to_float(f16x2{pair}); }
};
template <>
struct Operand<bf16> {
    static constexpr bool kIsBF16 = true;
    DEVICE static bf16 from(float value) { return to_bf16(value); }
    DEVICE static uint32_t pair(float low, float high) { return to_bf16x2(low, high).bits; }
    DEVICE static f32x2 floats(uint32_t pair) { return to_float(bf16x2{pair}); }
};
