// Rows of a weight matrix, as they arrive from the host, into the tiles that the tensor cores read (README, Weights).
// source: [16 * rows of tiles, 64 * groups of four tiles] row-major f16, bf16 or signed bytes, zero beyond the matrix's
// edges.
//
// Caller: the loading of a model, piece by piece, while the next piece is copied.
//
// Case 7B: 4096 x 4096 f16: 34 MB in and out, 67 us at 1,008 GB/s, against 1.3 ms of its copy over PCIe at 25 GB/s.
//
// A block takes 16 rows by 64 columns through shared memory: both sides are moved 16 bytes at a time, rows of 128 (f16,
// bf16) or 64 bytes. Rows in shared memory are padded so that the 2- and 4-byte reads of a warp meet no bank twice.
#include "common/memory.cuh"

namespace pack {
constexpr int kRows = 16, kColumns = 64, kTiles = 4;

/// Copies the block's 16 x 64 elements to shared memory, rows `stride` bytes apart.
template <int ElementBytes>
DEVICE void stage(const unsigned char* source, int source_ld, int stride) {
    constexpr int kPieces = kColumns * ElementBytes / 16;
    for (int i = thread_x(); i < kRows * kPieces; i += block_threads()) {
        const int row = i / kPieces, piece = i % kPieces;
        const size_t from = (size_t(block_y()) * kRows + row) * source_ld + size_t(block_x()) * kColumns;
        const u32x4 v = ldg(reinterpret_cast<const u32x4*>(source + from * ElementBytes + piece * 16));
        sts(reinterpret_cast<u32x4*>(shared_memory() + row * stride + piece * 16), v);
    }
    barrier();
}

/// Where the block's part of the tiles begins, in units of 16 bytes; `loads` of them per lane and 64 columns.
DEVICE size_t destination_of(int loads) { return (size_t(block_y()) * grid_x() + block_x()) * loads * kWarp; }

/// Two bytes, row and columns 2t and 2t + 1 of a tile: the pair a_i of lane (g, t).
DEVICE uint32_t byte_pair(int stride, int tile, int lane, int i) {
    const int row = lane / 4 + i % 2 * 8, column = tile * 16 + lane % 4 * 2 + i / 2 * 8;
    return lds(reinterpret_cast<const uint16_t*>(shared_memory() + row * stride + column));
}
}  // namespace pack

/// 16-bit elements, f16 or bf16. Grid: x = column tiles / 4, y = row tiles. Shared memory: 16 rows of 144 bytes.
KERNEL(pack_words, 128, 8)(u32x4* packed, const unsigned char* source, int source_ld) {
    constexpr int kStride = 144;
    pack::stage<2>(source, source_ld, kStride);
    const int lane = lane_id(), tile = warp_id();
    uint32_t a[4];
    for (int i = 0; i < 4; i++) {
        const int row = lane / 4 + i % 2 * 8, column = tile * 16 + lane % 4 * 2 + i / 2 * 8;
        a[i] = lds(reinterpret_cast<const uint32_t*>(shared_memory() + row * kStride + column * 2));
    }
    stg(packed + pack::destination_of(4) + thread_x(), u32x4{a[0], a[1], a[2], a[3]});
}
REGISTER_KERNEL(pack_words);

/// As above with 64 threads; shared memory: 16 rows of 80 bytes.
KERNEL(pack_int8, 64, 16)(u32x4* packed, const unsigned char* source, int source_ld) {
    constexpr int kStride = 80;
    pack::stage<1>(source, source_ld, kStride);
    uint32_t words[4];
    for (int w = 0; w < 4; w++) {
        const int tile = warp_id() * 2 + w / 2, first = w % 2 * 2;
        const uint32_t low = pack::byte_pair(kStride, tile, lane_id(), first);
        const uint32_t high = pack::byte_pair(kStride, tile, lane_id(), first + 1);
        // value + 128 of a signed byte is its top bit turned over.
        words[w] = (low | high << 16) ^ 0x80808080;
    }
    stg(packed + pack::destination_of(2) + thread_x(), u32x4{words[0], words[1], words[2], words[3]});
}
REGISTER_KERNEL(pack_int8);

/// As above, for integer tensor cores: the operand of mma_s8 for 16 x 32 elements, signed.
KERNEL(pack_int8_mma, 64, 16)(u32x4* packed, const unsigned char* source, int source_ld) {
    constexpr int kStride = 80;
    pack::stage<1>(source, source_ld, kStride);
    uint32_t a[4];
    for (int i = 0; i < 4; i++) {
        const int row = lane_id() / 4 + i % 2 * 8, column = warp_id() * 32 + lane_id() % 4 * 4 + i / 2 * 16;
        a[i] = lds(reinterpret_cast<const uint32_t*>(shared_memory() + row * kStride + column));
    }
    stg(packed + pack::destination_of(2) + thread_x(), u32x4{a[0], a[1], a[2], a[3]});
}
REGISTER_KERNEL(pack_int8_mma);

/// As above with 32 threads; a value takes the low four bits of its byte, -8 to 7.
KERNEL(pack_int4, 32, 16)(u32x4* packed, const unsigned char* source, int source_ld) {
    constexpr int kStride = 80;
    pack::stage<1>(source, source_ld, kStride);
    uint32_t words[4];
    for (int tile = 0; tile < pack::kTiles; tile++) {
        uint32_t word = 0;
        for (int i = 0; i < 4; i++) {
            const uint32_t pair = pack::byte_pair(kStride, tile, lane_id(), i);
            word |= (pair & 0xf) << (4 * i) | (pair >> 8 & 0xf) << (16 + 4 * i);
        }
        // value + 8 of a signed nibble is its top bit turned over.
        words[tile] = word ^ 0x88888888;
    }
    stg(packed + pack::destination_of(1) + thread_x(), u32x4{words[0], words[1], words[2], words[3]});
}
REGISTER_KERNEL(pack_int4);
