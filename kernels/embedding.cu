// destination [ids, columns] = rows of the embedding table, which lies in the packed f16 or bf16 layout like every
// matrix; to float32 or to the type of the table.
//
// Callers: the decoder's inputs: every text token of a prompt, one token per decode step.
//
// Case 7B: one row of 4096: 16 KB out of the table (a row shares its 64 bytes of a tile with the one 8 below it) and 16
// KB float32 out; 60 tokens 2 MB: bound by the latency of a launch. No arithmetic.
#include "common/rows.cuh"

namespace embedding {
constexpr int kThreads = 128;

template <typename T>
DEVICE void write_pair(float* row, int column, int columns, uint32_t pair) {
    const f32x2 v = Operand<T>::floats(pair);
    if (column + 1 < columns) {
        stg(reinterpret_cast<f32x2*>(row + column), v);
    } else if (column < columns) {
        stg(row + column, v.x);
    }
}
template <typename T>
DEVICE void write_pair(T* row, int column, int columns, uint32_t pair) {
    if (column + 1 < columns) {
        stg(reinterpret_cast<uint32_t*>(row + column), pair);
    } else if (column < columns) {
        stg(row + column, T{uint16_t(pair)});
    }
}

/// Grid: x blocks of kColumns columns, y = ids. packed: tiles of 16 rows of T, column_tiles of them side by side.
template <typename T, typename To>
DEVICE void run(To* destination, const u32x4* packed, const int* ids, int columns, int column_tiles, int to_ld) {
    const int tile = block_x() * (kThreads / 4) + thread_x() / 4, t = thread_x() % 4;
    if (tile >= column_tiles) return;
    const int id = ldg(ids + block_y()), g = id % 8;
    const u32x4 v = ldg(packed + (size_t(id / 16) * column_tiles + tile) * kWarp + g * 4 + t);
    const bool lower = id % 16 >= 8;
    To* row = destination + size_t(block_y()) * to_ld;
    write_pair<T>(row, tile * 16 + 2 * t, columns, lower ? v.y : v.x);
    write_pair<T>(row, tile * 16 + 2 * t + 8, columns, lower ? v.w : v.z);
}
}  // namespace embedding

#define EMBED(to, table)                                                                                          \
    KERNEL(embed_##to##_##table, embedding::kThreads, 8)                                                          \
    (ELEMENT_##to * destination, const u32x4* packed, const int* ids, int columns, int column_tiles, int to_ld) { \
        embedding::run<ELEMENT_##table>(destination, packed, ids, columns, column_tiles, to_ld);                  \
    }                                                                                                             \
    REGISTER_KERNEL(embed_##to##_##table)

EMBED(f32, f16);
EMBED(f32, bf16);
EMBED(f16, f16);
EMBED(bf16, bf16);
