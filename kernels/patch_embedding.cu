// CLIP's embedding of pictures: pixels, normalised by a table, times the patch weights; class token and positions
// added; LayerNorm in front of the tower. One launch, called by CudaBackend.PatchEmbedding.
//
//   pixels    [tiles, 3, size, size]         u8
//   lookup    [3, 256]                       float32: the normalised value of every value of every channel
//   weights   [d, 3 * patch * patch]         packed; columns channel, row, column of the patch
//   y         [tiles * (n + 1), d]           float32, f16 or bf16; n = side * side, side = size / patch; row 0 of a
//   tile is
//                                            the class token's
//
// A block owns 8 rows of y: their patches go from u8 through the table to operands in shared memory, where they are the
// right operand of the mma (a class token's row is zero); its 16 warps run through all row tiles of the weights and
// leave float32 sums in shared memory, which are normalised there. No picture in float32, no second pass over y.
//
// 7B case: d 1024, size 336, patch 14, n 576: pixels 0.34 MB, weights 1.3 MB, positions and y 4.7 MB; 0.7 G operations.
//   floor: RTX 4090 (1,008 GB/s) 6.3 us; Jetson AGX Orin (204 GB/s) 31 us. The weights are read by each of the 73
//   blocks, 96 MB out of the second cache: about 20 us on the RTX 4090, a thousandth of what a picture takes. Larger
//   blocks would read less and leave SMs idle. Rows of 14 pixels do not fill sectors; all pixels together are a third
//   of a megabyte.
// Occupancy: 1 block of 16 warps for an SM: 73 blocks do not fill the SMs once.
#include "common/elements.cuh"
#include "common/weight_stream.cuh"

namespace {

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / kWarp;
constexpr int kRows = 8;  // of y, in a block
constexpr int kValues = 3 * 256;

/// Sizes by the names above.
struct Picture {
    const uint8_t* pixels;
    int tiles, size, patch, side;

    DEVICE int patches() const { return side * side; }

    /// Byte of column k of the weights for patch i of a tile.
    DEVICE int byte(int tile, int i, int k) const {
        const int channel = k / (patch * patch), y = i / side * patch + k / patch % patch,
                  x = i % side * patch + k % patch;
        return int(ldg(pixels + (int64_t(tile * 3 + channel) * size + y) * size + x));
    }
};

/// x [8][columns] (rows pitch bytes apart) = the patches of rows first … first + 7 of y as operands; zero where no
/// patch is.
template <int Kind>
DEVICE void stage_patches(unsigned char* x, int pitch, const float* lookup, const Picture& picture, int first,
                          int quads) {
    const int columns = quads * kQuadColumns, used = 3 * picture.patch * picture.patch,
              area = picture.patch * picture.patch;
    // Neighbours in a row of pixels are neighbours here: the bytes of a patch's row, then those of the next patch.
    const int items = ceil_div(columns, picture.patch) * picture.patch * kRows;
    for (int item = thread_x(); item < items; item += kThreads) {
        const int in_row = item % picture.patch, row = item / picture.patch % kRows;
        const int k = item / picture.patch / kRows * picture.patch + in_row;
        if (k >= columns) continue;
        const int tile = (first + row) / (picture.patches() + 1), i = (first + row) % (picture.patches() + 1) - 1;
        float value = 0;
        if (k < used && tile < picture.tiles && i >= 0) value = lds(lookup + k / area * 256 + picture.byte(tile, i, k));
        using T = WeightOperand<Kind>;
        sts(reinterpret_cast<T*>(x + row * pitch) + staged_column<Kind>(k), Operand<T>::from(value));
    }
}

/// What is added to the products of row i of a tile: position, and the class token where there is no patch.
struct Additions {
    const float* class_token;
    const float* positions;
    int positions_ld;

    DEVICE float at(int i, int column) const {
        const float position = ldg(positions + int64_t(i) * positions_ld + column);
        return i == 0 ? position + ldg(class_token + column) : position;
    }
};

template <int Kind>
DEVICE void patch_embedding(void* y, int element, int ld, const Picture& picture, const float* lookup,
                            const u32x4* packed, const f16x2* scales, int group, const Additions& additions,
                            const float* norm_weight, const float* norm_bias, float epsilon, int d, int normalised) {
    const int quads = ceil_div(3 * picture.patch * picture.patch, kQuadColumns);
    const int pitch = quads * kQuadColumns * 2 + 16;  // an odd multiple of 16: no bank meets twice in an ldmatrix
    unsigned char* x = shared_memory();
    float* values = reinterpret_cast<float*>(x + kRows * pitch);
    float* sums = values + kValues;  // [8][sums_pitch], if normalised
    const int sums_pitch = ceil_div(d, 16) * 16 + 4;
    const int rows_of_tile = picture.patches() + 1, all_rows = picture.tiles * rows_of_tile;
    const int first = block_x() * kRows, lane = lane_id();
    const ScaleTable scale_table = ScaleTable::of(scales, group, quads);

    for (int i = thread_x(); i < kValues; i += kThreads) sts(values + i, ldg(lookup + i));
    barrier();
    stage_patches<Kind>(x, pitch, values, picture, first, quads);
    barrier();

    for (int row_tile = warp_id(); row_tile * 16 < d; row_tile += kWarps) {
        float result[1][4] = {};
        const unsigned char* from = x + lane % 8 * pitch + lane / 8 * 16;
#pragma unroll 2
        for (int quad = 0; quad < quads; quad++) {
            u32x4 loads[kQuadLoads<Kind>];
            QuadScales quad_scales{};
            const u32x4* at = quad_address<Kind>(packed, row_tile, quads, quad);
#pragma unroll
            for (int l = 0; l < kQuadLoads<Kind>; l++) loads[l] = ldg_stream(at + l * kWarp);
            if (kWeightScaled<Kind>) quad_scales = scale_table.load(row_tile, quad);
            const auto right = [from, quad](int, int half, uint32_t(&b)[4]) {
                ldmatrix_x4(b, from + quad * kQuadColumns * 2 + half * 64);
            };
            multiply_quad<Kind, 1>(result, loads, quad_scales, right);
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int row = lane % 4 * 2 + i % 2, column = row_tile * 16 + lane / 4 + i / 2 * 8;
            if (normalised) {
                sts(sums + row * sums_pitch + column, result[0][i]);
            } else if (first + row < all_rows && column < d) {
                const float sum = result[0][i] + additions.at((first + row) % rows_of_tile, column);
                write_element(y, element, int64_t(first + row) * ld + column, sum);
            }
        }
    }
    if (!normalised) return;
    barrier();

    // Eight warps, a row each.
    const int row = first + warp_id();
    if (warp_id() >= kRows || row >= all_rows) return;
    float* numbers = sums + warp_id() * sums_pitch;
    float sum = 0;
    for (int c = lane; c < d; c += kWarp) {
        const float value = lds(numbers + c) + additions.at(row % rows_of_tile, c);
        sts(numbers + c, value);
        sum += value;
    }
    const float mean = warp_sum(sum) / float(d);
    float squares = 0;
    for (int c = lane; c < d; c += kWarp) {
        const float difference = lds(numbers + c) - mean;
        squares += difference * difference;
    }
    const float inverse = 1.0f / sqrtf(warp_sum(squares) / float(d) + epsilon);
    for (int c = lane; c < d; c += kWarp) {
        const float value = (lds(numbers + c) - mean) * inverse * ldg(norm_weight + c) + ldg(norm_bias + c);
        write_element(y, element, int64_t(row) * ld + c, value);
    }
}

}  // namespace

// grid (tiles * (n + 1) / 8 rounded up). Shared memory: 8 * (quads * 128 + 16) + 3,072 bytes, quads = 3 * patch * patch
// / 64 rounded up; if normalised 32 * (d rounded up to 16, + 4) more. normalised 0: y is left without LayerNorm.
#define PATCH_EMBEDDING(name, kind)                                                                                   \
    KERNEL(name, kThreads, 1)                                                                                         \
    (void* y, const uint8_t* pixels, const float* lookup, const u32x4* packed, const f16x2* scales,                   \
     const float* class_token, const float* positions, const float* norm_weight, const float* norm_bias, int element, \
     int ld, int group, int positions_ld, float epsilon, int tiles, int size, int patch, int d, int normalised) {     \
        patch_embedding<kind>(y, element, ld, Picture{pixels, tiles, size, patch, size / patch}, lookup, packed,      \
                              scales, group, Additions{class_token, positions, positions_ld}, norm_weight, norm_bias, \
                              epsilon, d, normalised);                                                                \
    }                                                                                                                 \
    REGISTER_KERNEL(name)

PATCH_EMBEDDING(patch_embedding_f16, kWeightF16);
PATCH_EMBEDDING(patch_embedding_bf16, kWeightBF16);
PATCH_EMBEDDING(patch_embedding_int8, kWeightInt8);
PATCH_EMBEDDING(patch_embedding_int8mma, kWeightInt8Mma);
PATCH_EMBEDDING(patch_embedding_int4, kWeightInt4);
