// The pieces of the tiled matrix products: tokens [m, k] in shared memory, and the way of a block's sums to memory.
#pragma once

#include "epilogue.cuh"
#include "weight_tiles.cuh"

/// How a block of a tiled product is divided.
template <int OutputWarps, int TokenWarps, int OutputTiles, int TokenTiles>
struct BlockShape {
    static constexpr int kOutputWarps = OutputWarps;
    static constexpr int kWarps = OutputWarps * TokenWarps;
    static constexpr int kThreads = kWarps * kWarp;
    static constexpr int kOutputTiles = OutputTiles;                  // of a warp, 16 outputs each
    static constexpr int kTokenTiles = TokenTiles;                    // of a warp, 8 tokens each
    static constexpr int kRowTiles = OutputWarps * OutputTiles;       // of the block
    static constexpr int kTokens = TokenWarps * TokenTiles * 8;       // of the block
    static constexpr int kStagedStride = OutputTiles * 16 + 4;        // floats of a token on the way out
    static constexpr int kStagedFloats = kWarps * 8 * kStagedStride;  // of the block
    static_assert(TokenTiles % 2 == 0, "ldmatrix_x4 brings two token tiles");
};

/// Rows of Bytes (64 or 128) bytes in shared memory, their 16-byte pieces swapped so that eight rows' pieces of the
/// same number lie in eight different groups of banks.
template <int Bytes>
DEVICE int swizzled(int row, int piece) {
    const int flip = Bytes == 128 ? row & 7 : row >> 1 & 3;
    return row * Bytes + ((piece ^ flip) * 16);
}

/// Starts the copy of a tile of tokens: rows first_row … and bytes first_byte … first_byte + Bytes - 1 of each row,
/// zero beyond `rows` and `row_bytes`. ld in bytes.
template <int Tokens, int Bytes, int Threads>
DEVICE void copy_tokens(unsigned char* shared, const unsigned char* x, uint32_t ld, int first_row, int rows,
                        int first_byte, int row_bytes) {
    constexpr int kPieces = Bytes / 16, kRowStep = Threads / kPieces;
    static_assert(Tokens % kRowStep == 0 && kRowStep % 8 == 0, "every thread copies equally much");
    const int piece = thread_x() % kPieces, byte = first_byte + 16 * piece;
    const int left = minimum(maximum(row_bytes - byte, 0), 16);
    const int row = thread_x() / kPieces;
    const unsigned char* from = x + (left > 0 ? byte : 0);
    const int to = swizzled<Bytes>(row, piece);
#pragma unroll
    for (int i = 0; i < Tokens / kRowStep; i++) {
        // Rows beyond the last repeat it: their results are not stored. Eight rows on, the swizzle is the same.
        const int token = minimum(first_row + row + i * kRowStep, rows - 1);
        cp_async16(shared + to + i * kRowStep * Bytes, from + size_t(uint32_t(token)) * ld, left);
    }
}

/// Where this lane reads the tokens from row `row` (a multiple of 16) of a tile at byte `tile` of shared memory, a
/// multiple of Bytes.
template <int Bytes>
DEVICE int token_offset(int tile, int row) {
    const int lane = lane_id();
    return tile + swizzled<Bytes>(row + lane / 16 * 8 + lane % 8, lane / 8 % 2);
}

/// The right operands of two token tiles for the `step`-th 32 bytes of their rows. Flipping bits of the offset is the
/// swizzle of a later piece; done here, from an offset that changes with the stage, it costs an instruction and no
/// register.
DEVICE void load_tokens(int offset, int step, uint32_t (&even)[2], uint32_t (&odd)[2]) {
    uint32_t r[4];
    ldmatrix_x4(r, shared_memory() + (offset ^ step * 32));
    even[0] = r[0], even[1] = r[1], odd[0] = r[2], odd[1] = r[3];
}

/// The row tile of W that tile `tile` of the block is: in the gated form even ones are gates and odd ones the same rows
/// of the lower half, so that a warp holds both. Beyond the edge the last one again: its results are not stored.
DEVICE int weight_tile(int block_tiles, int tile, int n, int gated) {
    const int row_tiles = ceil_div(n, 16);
    const int first = block_y() * block_tiles + tile;
    return gated ? minimum(first / 2, row_tiles - 1) + tile % 2 * row_tiles : minimum(first, row_tiles - 1);
}

/// Stores a block's sums [outputs][tokens] of a warp; goes through shared memory, which must be free, so that a warp
/// writes whole lines. In the gated form pairs of tiles become one first.
template <typename Shape, typename T>
DEVICE void store_sums(float (&sums)[Shape::kOutputTiles][Shape::kTokenTiles][4], const Epilogue<T>& epilogue,
                       int gated, float* shared) {
    const int lane = lane_id(), warp = warp_id();
    const int output_warp = warp % Shape::kOutputWarps, token_warp = warp / Shape::kOutputWarps;
    int tiles = Shape::kOutputTiles;
    if constexpr (Shape::kOutputTiles % 2 == 0) {
        if (gated) {
            tiles /= 2;
#pragma unroll
            for (int i = 0; i < Shape::kOutputTiles / 2; i++) {
#pragma unroll
                for (int t = 0; t < Shape::kTokenTiles; t++) {
#pragma unroll
                    for (int e = 0; e < 4; e++) sums[i][t][e] = silu(sums[2 * i][t][e]) * sums[2 * i + 1][t][e];
                }
            }
        }
    }
    const int outputs = tiles * 16;
    const int first_output = (block_y() * Shape::kOutputWarps + output_warp) * outputs;
    const int first_token = block_x() * Shape::kTokens + token_warp * Shape::kTokenTiles * 8;
    float* staged = shared + warp * 8 * Shape::kStagedStride;
#pragma unroll
    for (int t = 0; t < Shape::kTokenTiles; t++) {
        float* to = staged + lane % 4 * 2 * Shape::kStagedStride + lane / 4;
#pragma unroll
        for (int i = 0; i < Shape::kOutputTiles; i++) {
            if (i < tiles) {
                sts(to + 16 * i, sums[i][t][0]);
                sts(to + 16 * i + Shape::kStagedStride, sums[i][t][1]);
                sts(to + 16 * i + 8, sums[i][t][2]);
                sts(to + 16 * i + 8 + Shape::kStagedStride, sums[i][t][3]);
            }
        }
        warp_barrier();
        for (int e = lane * 4; e < 8 * outputs; e += kWarp * 4) {
            const int token = e / outputs, output = e % outputs;
            const f32x4 value = lds(reinterpret_cast<const f32x4*>(staged + token * Shape::kStagedStride + output));
            epilogue.store4(first_token + 8 * t + token, first_output + output, value);
        }
        warp_barrier();
    }
}
