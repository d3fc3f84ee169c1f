// Packed weights (kernels/README.md) as the products read them: a unit is what a warp takes of a row of tiles at once,
// 16 rows by kColumns columns, kLoads times 16 bytes for each lane; unit u of tile row i begins at
// ((i * units + u) * kLoads) * 32 and lane L owns element L of each load.
#pragma once

#include "warp.cuh"

/// Picks four of the eight bytes of high:low; nibble i of the selector says which becomes byte i.
DEVICE uint32_t byte_permute(uint32_t low, uint32_t high, uint32_t selector) {
#if LSP_EMULATOR
    const uint64_t bytes = uint64_t(high) << 32 | low;
    uint32_t result = 0;
    for (int i = 0; i < 4; i++) result |= uint32_t(bytes >> ((selector >> (4 * i) & 7) * 8) & 0xff) << (8 * i);
    return result;
#else
    uint32_t result;
    asm("prmt.b32 %0, %1, %2, %3;" : "=r"(result) : "r"(low), "r"(high), "r"(selector));
    return result;
#endif
}

/// Columns rounded up to 64, as weights are padded.
DEVICE int padded_columns(int k) { return ceil_div(k, 64) * 64; }

/// Scale groups of a row of k columns.
DEVICE int scale_groups(int k, int group) { return ceil_div(padded_columns(k), group); }

/// log2 of a group of 32, 64 or 128: a division by a number that the compiler does not know costs some twenty
/// instructions.
DEVICE int scale_shift(int group) { return group == 32 ? 5 : group == 64 ? 6 : 7; }

/// f16 or bf16: two tiles. Element of a unit is the type of its products' operands.
template <typename T>
struct PlainUnit {
    using Element = T;
    static constexpr bool kScaled = false;
    static constexpr int kColumns = 32;
    static constexpr int kLoads = 2;

    /// The left operand of mma for tile `tile` of the unit; integers become halves without their scale, exactly.
    DEVICE static void fragment(const u32x4 (&unit)[kLoads], int tile, uint32_t (&a)[4]) {
        const u32x4 v = unit[tile];
        a[0] = v.x, a[1] = v.y, a[2] = v.z, a[3] = v.w;
    }
};
using F16Unit = PlainUnit<f16>;
using BF16Unit = PlainUnit<bf16>;

/// Two of four bytes value + 128, chosen by the selector, as halves: 0x64 above a byte is the half 1024 + byte.
DEVICE uint32_t widen_bytes(uint32_t bytes, uint32_t selector) {
    return sub(f16x2{byte_permute(bytes, 0x64646464, selector)}, f16x2{0x64806480}).bits;
}

/// int8: two tiles for each load.
template <int Loads>
struct Int8Unit {
    using Element = f16;
    static constexpr bool kScaled = true;
    static constexpr int kColumns = 32 * Loads;
    static constexpr int kLoads = Loads;

    DEVICE static void fragment(const u32x4 (&unit)[kLoads], int tile, uint32_t (&a)[4]) {
        const u32x4 v = unit[tile / 2];
        const uint32_t left = tile % 2 ? v.z : v.x, right = tile % 2 ? v.w : v.y;
        a[0] = widen_bytes(left, 0x4140), a[1] = widen_bytes(left, 0x4342);
        a[2] = widen_bytes(right, 0x4140), a[3] = widen_bytes(right, 0x4342);
    }
};

/// int8 in the order of mma_s8, for products whose x stays f16: two tiles. A lane holds columns 4t … 4t + 3 of each
/// tile, so the tokens' columns must be in the order that makes these the columns 2t, 2t + 1, 2t + 8, 2t + 9 of
/// mma_f16.
struct Int8MmaUnit {
    using Element = f16;
    static constexpr bool kScaled = true;
    static constexpr int kColumns = 32;
    static constexpr int kLoads = 1;

    DEVICE static void fragment(const u32x4 (&unit)[kLoads], int tile, uint32_t (&a)[4]) {
        const u32x4 v = unit[0];
        const uint32_t upper = (tile ? v.z : v.x) ^ 0x80808080, lower = (tile ? v.w : v.y) ^ 0x80808080;
        a[0] = widen_bytes(upper, 0x4140), a[1] = widen_bytes(lower, 0x4140);
        a[2] = widen_bytes(upper, 0x4342), a[3] = widen_bytes(lower, 0x4342);
    }
};

/// int4: four tiles, one word each; the stored nibble is value + 8.
struct Int4Unit {
    using Element = f16;
    static constexpr bool kScaled = true;
    static constexpr int kColumns = 64;
    static constexpr int kLoads = 1;

    DEVICE static void fragment(const u32x4 (&unit)[kLoads], int tile, uint32_t (&a)[4]) {
        const u32x4 v = unit[0];
        const uint32_t word = tile == 0 ? v.x : tile == 1 ? v.y : tile == 2 ? v.z : v.w;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            a[i] = sub(f16x2{(word >> (4 * i) & 0x000f000f) | 0x64006400}, f16x2{0x64086408}).bits;
        }
    }
};

/// Multiplies a fragment by the scales of its rows; `scales` is the pair of rows g (low) and g + 8 (high).
DEVICE void scale_fragment(uint32_t (&a)[4], uint32_t scales) {
    const f16x2 upper{byte_permute(scales, 0, 0x1010)}, lower{byte_permute(scales, 0, 0x3232)};
    a[0] = mul(f16x2{a[0]}, upper).bits;
    a[1] = mul(f16x2{a[1]}, lower).bits;
    a[2] = mul(f16x2{a[2]}, upper).bits;
    a[3] = mul(f16x2{a[3]}, lower).bits;
}

/// sum += scales * part for a 16 x 8 result, the scales as above.
DEVICE void add_scaled(float (&sum)[4], const float (&part)[4], uint32_t scales) {
    const f32x2 scale = to_float(f16x2{scales});
    sum[0] += part[0] * scale.x;
    sum[1] += part[1] * scale.x;
    sum[2] += part[2] * scale.y;
    sum[3] += part[3] * scale.y;
}
