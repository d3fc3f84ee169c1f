// destination [ids, columns] = rows of the embedding table, which lies in the packed f16 layout like every matrix.
//
// Callers: the decoder's inputs: every text token of a prompt, one token per decode step.
//
// Case 7B: one row of 4096: 16 KB out of the table (a row shares its 64 bytes of a tile with the one 8 below it) and 16
// KB float32 out; 60 tokens 2 MB: bound by the latency of a launch. No arithmetic.
#include "common/rows.cuh"

namespace embedding {
constexpr int kThreads = 128;

DEVICE void write_pair(float* row, int column, int columns, f16x2 pair) {
    const f32x2 v = to_float(pair);
    if (column + 1 < columns) {
        stg(reinterpret_cast<f32x2*>(row + column), v);
    } else if (column < columns) {
        stg(row + column, v.x);
    }
}
DEVICE void write_pair(f16* row, int column, int columns, f16x2 pair) {
    if (column + 1 < columns) {
        stg(reinterpret_cast<f16x2*>(row + column), pair);
    } else if (column < columns) {
        stg(row + column, f16{uint16_t(pair.bits)});
    }
}

/// Grid: x blocks of kColumns columns, y = ids. packed: tiles of 16 rows, column_tiles of them side by side.
template <typename To>
DEVICE void run(To* destination, const u32x4* packed, const int* ids, int columns, int column_tiles, int to_ld) {
    const int tile = block_x() * (kThreads / 4) + thread_x() / 4, t = thread_x() % 4;
    if (tile >= column_tiles) return;
    const int id = ldg(ids + block_y()), g = id % 8;
    const u32x4 v = ldg(packed + (size_t(id / 16) * column_tiles + tile) * kWarp + g * 4 + t);
    const bool lower = id % 16 >= 8;
    To* row = destination + size_t(block_y()) * to_ld;
    write_pair(row, tile * 16 + 2 * t, columns, f16x2{lower ? v.y : v.x});
    write_pair(row, tile * 16 + 2 * t + 8, columns, f16x2{lower ? v.w : v.z});
}
}  // namespace embedding

KERNEL(embed_f32, embedding::kThreads, 8)
(float* destination, const u32x4* packed, const int* ids, int columns, int column_tiles, int to_ld) {
    embedding::run(destination, packed, ids, columns, column_tiles, to_ld);
}
REGISTER_KERNEL(embed_f32);
KERNEL(embed_f16, embedding::kThreads, 8)
(f16* destination, const u32x4* packed, const int* ids, int columns, int column_tiles, int to_ld) {
    embedding::run(destination, packed, ids, columns, column_tiles, to_ld);
}
REGISTER_KERNEL(embed_f16);
