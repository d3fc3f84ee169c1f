// Rows of activations, four elements at a time: 16 bytes of float32, 8 of f16 or bf16, so that 32 neighbours fill whole
// sectors in any type.
#pragma once

#include "memory.cuh"

/// Four elements that no thread of this kernel writes, or only the one that reads them.
DEVICE f32x4 read_4(const float* source) { return ldg_mutable(reinterpret_cast<const f32x4*>(source)); }
template <typename T>
DEVICE f32x4 read_4(const T* source) {
    const u32x2 raw = ldg_mutable(reinterpret_cast<const u32x2*>(source));
    const f32x2 low = Operand<T>::floats(raw.x), high = Operand<T>::floats(raw.y);
    return f32x4{low.x, low.y, high.x, high.y};
}

/// Elements column … column + 3 of a row, column a multiple of 4; zero from `columns` on.
template <typename T>
DEVICE f32x4 read_4(const T* row, int column, int columns) {
    f32x4 v = read_4(row + column);
    if (column + 1 >= columns) v.y = 0;
    if (column + 2 >= columns) v.z = 0;
    if (column + 3 >= columns) v.w = 0;
    return v;
}

DEVICE float read_1(const float* source) { return ldg_mutable(source); }
template <typename T>
DEVICE float read_1(const T* source) {
    return to_float(ldg_mutable(source));
}

/// The same where column 0 of `row` need not be aligned.
template <typename T>
DEVICE f32x4 read_4_unaligned(const T* row, int column, int columns) {
    f32x4 v{read_1(row + column), 0, 0, 0};
    if (column + 1 < columns) v.y = read_1(row + column + 1);
    if (column + 2 < columns) v.z = read_1(row + column + 2);
    if (column + 3 < columns) v.w = read_1(row + column + 3);
    return v;
}

DEVICE void write_1(float* destination, float value) { stg(destination, value); }
template <typename T>
DEVICE void write_1(T* destination, float value) {
    stg(destination, Operand<T>::from(value));
}
DEVICE void write_4(float* destination, f32x4 v) { stg(reinterpret_cast<f32x4*>(destination), v); }
template <typename T>
DEVICE void write_4(T* destination, f32x4 v) {
    stg(reinterpret_cast<u32x2*>(destination), u32x2{Operand<T>::pair(v.x, v.y), Operand<T>::pair(v.z, v.w)});
}

/// Writes elements column … column + 3 of a row, column a multiple of 4; those from `columns` on are left alone.
template <typename T>
DEVICE void write_4(T* row, int column, int columns, f32x4 v) {
    if (column + 4 <= columns) {
        write_4(row + column, v);
        return;
    }
    write_1(row + column, v.x);
    if (column + 1 < columns) write_1(row + column + 1, v.y);
    if (column + 2 < columns) write_1(row + column + 2, v.z);
}

// Names of element types in the names of kernels, the destination's first: INSTANCE(f16, f32) reads float32.
#define ELEMENT_f32 float
#define ELEMENT_f16 f16
#define ELEMENT_bf16 bf16
#define FOR_EACH_ELEMENT_PAIR(INSTANCE) \
    INSTANCE(f32, f32);                 \
    INSTANCE(f32, f16);                 \
    INSTANCE(f32, bf16);                \
    INSTANCE(f16, f32);                 \
    INSTANCE(f16, f16);                 \
    INSTANCE(bf16, f32);                \
    INSTANCE(bf16, bf16)
