// Warp operations. Every lane of the warp takes part (full mask): no lane may have returned or branched away.
#pragma once

#include "memory.cuh"

#if LSP_EMULATOR
DEVICE float shuffle(float value, int lane) { return emulator::shuffle(value, lane); }
DEVICE int shuffle(int value, int lane) { return emulator::shuffle(value, lane); }
DEVICE uint32_t shuffle(uint32_t value, int lane) { return emulator::shuffle(value, lane); }
DEVICE float shuffle_xor(float value, int mask) { return emulator::shuffle(value, lane_id() ^ mask); }
DEVICE int shuffle_xor(int value, int mask) { return emulator::shuffle(value, lane_id() ^ mask); }
DEVICE uint32_t warp_ballot(bool value) { return emulator::ballot(value); }

/// Four 8x8 matrices of halves from shared memory: lane L gives the address of row L % 8 of matrix L / 8 (16 bytes,
/// 16-byte aligned) and receives, of matrix i, elements 2 (L % 4) and the next of row L / 4 in r[i].
DEVICE void ldmatrix_x4(uint32_t (&r)[4], const void* row) { emulator::ldmatrix(r, row, 4, false); }
/// As above, transposed: receives rows 2 (L % 4) and the next of column L / 4.
DEVICE void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) { emulator::ldmatrix(r, row, 4, true); }
/// Two matrices; lanes 0 to 15 give the addresses, those of the others are ignored but must be valid.
DEVICE void ldmatrix_x2(uint32_t (&r)[2], const void* row) { emulator::ldmatrix(r, row, 2, false); }
DEVICE void ldmatrix_x2_trans(uint32_t (&r)[2], const void* row) { emulator::ldmatrix(r, row, 2, true); }

/// d [16, 8] += a [16, 16] b [16, 8], halves with float32 sums. With g = lane / 4 and t = lane % 4: a[0] = rows g,
/// columns 2t, 2t+1; a[1] = row g + 8; a[2] = row g, columns 2t + 8, + 9; a[3] = row g + 8 of these. b[0] = rows 2t,
/// 2t+1 of column g; b[1] = rows 2t + 8, + 9. d[0], d[1] = row g, columns 2t, 2t+1; d[2], d[3] = row g + 8.
DEVICE void mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) { emulator::mma_f16(d, a, b); }
/// As above, of bf16. On Turing, which has no such instruction, it ends the kernel: the host does not launch any there.
DEVICE void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) { emulator::mma_bf16(d, a, b); }
/// d [16, 8] += a [16, 32] b [32, 8] of signed bytes: a[0] = row g, columns 4t … 4t+3; a[1] = row g + 8; a[2], a[3] =
/// columns 16 + 4t …; b[0] = rows 4t … 4t+3 of column g; b[1] = rows 16 + 4t …; d as above.
DEVICE void mma_s8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) { emulator::mma_s8(d, a, b); }

/// 2^x.
DEVICE float exp2_fast(float x) { return emulator::exp2_fast(x); }
#else
DEVICE float shuffle(float value, int lane) { return __shfl_sync(0xffffffffu, value, lane); }
DEVICE int shuffle(int value, int lane) { return __shfl_sync(0xffffffffu, value, lane); }
DEVICE uint32_t shuffle(uint32_t value, int lane) { return __shfl_sync(0xffffffffu, value, lane); }
DEVICE float shuffle_xor(float value, int mask) { return __shfl_xor_sync(0xffffffffu, value, mask); }
DEVICE int shuffle_xor(int value, int mask) { return __shfl_xor_sync(0xffffffffu, value, mask); }
DEVICE uint32_t warp_ballot(bool value) { return __ballot_sync(0xffffffffu, value); }

DEVICE void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}
DEVICE void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}
DEVICE void ldmatrix_x2(uint32_t (&r)[2], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(row))
                 : "memory");
}
DEVICE void ldmatrix_x2_trans(uint32_t (&r)[2], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(row))
                 : "memory");
}

#if __CUDA_ARCH__ >= 800
DEVICE void mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
        "%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
DEVICE void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, "
        "%2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
DEVICE void mma_s8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
        "%3};"
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#else
// Turing: the same fragments, in the smaller steps that it has.
DEVICE void mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    for (int half = 0; half < 2; half++) {
        asm volatile(
            "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[half * 2]), "r"(a[half * 2 + 1]), "r"(b[half]));
    }
}
DEVICE void mma_bf16(float (&)[4], const uint32_t (&)[4], const uint32_t (&)[2]) { asm volatile("trap;"); }
DEVICE void mma_s8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    for (int i = 0; i < 4; i++) {
        const int rows = i % 2 * 2;
        asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
                     : "+r"(d[rows]), "+r"(d[rows + 1])
                     : "r"(a[i]), "r"(b[i / 2]));
    }
}
#endif

DEVICE float exp2_fast(float x) {
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}
#endif

/// d += a b for operands of either type, f16 or bf16.
template <typename T>
DEVICE void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    if constexpr (Operand<T>::kIsBF16) {
        mma_bf16(d, a, b);
    } else {
        mma_f16(d, a, b);
    }
}

/// e^x.
DEVICE float exp_fast(float x) { return exp2_fast(x * 1.4426950408889634f); }

/// Sum over the warp, the same bits in every lane and every run.
DEVICE float warp_sum(float value) {
    for (int mask = kWarp / 2; mask > 0; mask /= 2) value += shuffle_xor(value, mask);
    return value;
}
/// Largest over the warp; NaN if any lane has one.
DEVICE float warp_max(float value) {
    for (int mask = kWarp / 2; mask > 0; mask /= 2) {
        const float other = shuffle_xor(value, mask);
        value = (value != value || value > other) ? value : other;
    }
    return value;
}
