// The visual spatial tokens (SFE): all convolutions of a picture in one launch. Convolution c is k x k over the centre
// crop of the grid, or over the grid pooled to k x k (torch's adaptive average), with one output position: a product of
// its weights [width, k*k*d] with a vector of k*k*d numbers for each tile of the picture.
// Called by CudaBackend.SpatialTokens: spatial_tokens_*, then spatial_tokens_sum.
//
//   features  [tiles * grid * grid, d]                   float32, f16 or bf16; become the type of the weights, for
//                                                        integers f16
//   weights   [width, k*k*d] for each convolution        packed; columns position-major, channel-minor
//   partial   [blocks + convolutions - 1][tiles][width]  float32: a slot for every piece of a convolution
//   y         [tiles * convolutions, width]              float32, f16 or bf16
//
// The weights of all convolutions are one row of quads (64 columns, all rows), cut into equal ranges, one for each
// block: SMs read equal bytes whatever the sizes of the kernels. A range may run over the end of a convolution: piece
// (block b, convolution c) has slot b + c, which no other piece has, since b and c never fall along the row. The second
// kernel adds the pieces of a convolution in the order of their blocks, so the bits are the same in every run.
// A block stages x in shared memory 512 columns at a time, cropped or pooled on the way there; its warps own row tiles.
// Weights are the left operand of the mma, up to 8 tiles of the picture are its 8 columns; more tiles take further
// passes.
//
// 7B case: d 1024, grid 24, k = 4, 8, 12, 16, 20, 24, width 512: 763 M weights, each read once.
//   bytes: f16 and bf16 1,527 MB, int8 775 MB, int4 393 MB (group 128, with scales). Beside them, out of the second
//   cache: the features once for each convolution (7 MB for a tile), the partial sums of 256 blocks written and read
//   (1 MB for a tile). Operations: 1.5 G for a tile, two for each weight: bound by bandwidth.
//   floor: RTX 4090 (1,008 GB/s) 1.51 / 0.77 / 0.39 ms; Jetson AGX Orin (204 GB/s) 7.5 / 3.8 / 1.9 ms.
// Occupancy: 2 blocks of 16 warps at 64 registers, half of sm_80 and sm_90's warps, two thirds of sm_86 and sm_89's.
// Every warp has 1 to 2 KB of weights under way, 32 to 64 KB for each SM; the RTX 4090 needs 6 KB, the H100 20 KB.
#include "common/elements.cuh"
#include "common/weight_stream.cuh"

namespace {

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / kWarp;
constexpr int kRowTiles = 2;                        // of a warp
constexpr int kBlockRowTiles = kWarps * kRowTiles;  // of a block: 512 rows
constexpr int kTokens = 8;                          // tiles of the picture in a pass
constexpr int kStageQuads = 8;
constexpr int kPitch = kStageQuads * kQuadColumns * 2 + 16;  // bytes of a row of staged x: an odd multiple of 16
constexpr int kStageBytes = kTokens * kPitch;
constexpr int kPieceBytes = 128;

/// One convolution, as C# uploads it: 40 bytes.
struct Convolution {
    const u32x4* packed;
    const f16x2* scales;
    int size;     // k
    int first;    // its first quad among those of all convolutions
    int quads;    // of a row
    int group;    // columns that share a scale; 0 for f16 and bf16
    int columns;  // k * k * d
};

DEVICE Convolution load_convolution(const uint64_t* table, int index) {
    const uint64_t* at = table + index * 5;
    const uint64_t size_first = ldg(at + 2), quads_group = ldg(at + 3);
    return Convolution{reinterpret_cast<const u32x4*>(ldg(at)),
                       reinterpret_cast<const f16x2*>(ldg(at + 1)),
                       int(uint32_t(size_first)),
                       int(uint32_t(size_first >> 32)),
                       int(uint32_t(quads_group)),
                       int(uint32_t(quads_group >> 32)),
                       int(uint32_t(ldg(at + 4)))};
}

/// The patch features of a picture, and how a convolution looks at them.
struct Features {
    const void* data;
    int element, ld;  // ld: elements from cell to cell
    int grid, d, cropping;

    /// sum += channel(s) `channel` … of the cells behind position `position` of a k x k kernel; returns their number.
    template <int Channels>
    DEVICE float add_window(float (&sum)[Channels], int tile, int k, int position, int channel) const {
        const int y = position / k, x = position % k, corner = (grid - k) / 2;
        const int top = cropping ? corner + y : y * grid / k;
        const int left = cropping ? corner + x : x * grid / k;
        const int bottom = cropping ? top + 1 : ((y + 1) * grid + k - 1) / k;
        const int right = cropping ? left + 1 : ((x + 1) * grid + k - 1) / k;
#pragma unroll 1
        for (int row = top; row < bottom; row++) {
#pragma unroll 1
            for (int column = left; column < right; column++) {
                const int cell = (tile * grid + row) * grid + column;
                if constexpr (Channels == 8) {
                    add_8_elements(sum, data, element, cell * ld + channel);
                } else {
                    sum[0] += read_element(data, element, cell * ld + channel);
                }
            }
        }
        return float((bottom - top) * (right - left));
    }

    /// values: columns column … column + 7 of the vector that a k x k convolution multiplies; zero past its end.
    DEVICE void eight_columns(float (&values)[8], int tile, int k, int column, int columns) const {
#pragma unroll
        for (int i = 0; i < 8; i++) values[i] = 0;
        if (d % 8 == 0) {
            if (column < columns) {
                const float inverse = 1.0f / add_window(values, tile, k, column / d, column % d);
#pragma unroll
                for (int i = 0; i < 8; i++) values[i] *= inverse;
            }
        } else {
#pragma unroll 1
            for (int i = 0; i < 8; i++) {
                if (column + i >= columns) break;
                float sum[1] = {0};
                const float inverse = 1.0f / add_window(sum, tile, k, (column + i) / d, (column + i) % d);
#pragma unroll
                for (int j = 0; j < 8; j++) values[j] = i == j ? sum[0] * inverse : values[j];
            }
        }
    }
};

/// The warp's first row tile; the others follow kWarps apart.
DEVICE int first_row_tile() { return block_z() * kBlockRowTiles + warp_id(); }
/// How many the warp has.
DEVICE int count_row_tiles(int width) {
    const int left = ceil_div(width, 16) - first_row_tile();
    return left <= 0 ? 0 : minimum(kRowTiles, ceil_div(left, kWarps));
}

/// A piece: what a block has of one convolution. It lies in shared memory and is read where it is used, so that staging
/// and the main loop do not occupy each other's registers.
struct Piece {
    Convolution convolution;
    int d, first, last;  // quads first … last - 1 of the convolution
    int tiles, width;
    int index, next;  // of the convolution; where the piece ends among the quads of all
};

static_assert(sizeof(Piece) <= kPieceBytes, "no room for the piece");

/// The block's first piece, or the one behind `piece`; an empty one if there is none. For one thread.
DEVICE void next_piece(Piece* piece, const uint64_t* table, int convolutions, int quads, int d, int tiles, int width,
                       bool begun) {
    const int position = begun ? piece->next : int(int64_t(quads) * block_y() / grid_y());
    const int end = int(int64_t(quads) * (block_y() + 1) / grid_y());
    int index = begun ? piece->index : 0;
    while (index + 1 < convolutions && load_convolution(table, index + 1).first <= position) index++;
    const Convolution convolution = load_convolution(table, index);
    const int first = position - convolution.first, last = minimum(end - convolution.first, convolution.quads);
    *piece = Piece{convolution, d, first, last, tiles, width, index, convolution.first + last};
}

/// Writes stage `step` of x [8 tokens][512 columns]: the columns of up to 8 quads.
template <int Kind>
DEVICE void stage_columns(unsigned char* stage, Features features, const Piece* piece, int tiles, int step) {
    const int tile0 = block_x() * kTokens, tokens = minimum(kTokens, tiles - tile0);
    const int size = lds(&piece->convolution.size), columns = lds(&piece->convolution.columns);
    const int from = lds(&piece->first) + step * kStageQuads, to = minimum(from + kStageQuads, lds(&piece->last));
    features.d = lds(&piece->d);
    const int eights = (to - from) * (kQuadColumns / 8);
#pragma unroll 1
    for (int item = thread_x(); item < eights * tokens; item += kThreads) {
        const int tile = item / eights, eight = item % eights;
        float values[8];
        features.eight_columns(values, tile0 + tile, size, from * kQuadColumns + eight * 8, columns);
        stage_eight<Kind>(stage + tile * kPitch, eight, to_8_halves<WeightOperand<Kind>>(values));
    }
}

/// sums += the products of the warp's row tiles with stage `step`.
template <int Kind>
DEVICE void multiply_stage(float (&sums)[kRowTiles][1][4], const unsigned char* stage, const Piece* piece, int width,
                           int step) {
    const int row_tile = first_row_tile(), count = count_row_tiles(width);
    constexpr int kBatch = Kind == kWeightInt4 ? 2 : 1;  // row tiles whose weights are loaded before their products
    const u32x4* packed = lds(&piece->convolution.packed);
    const int quads = lds(&piece->convolution.quads);
    const ScaleTable scale_table =
        ScaleTable::of(lds(&piece->convolution.scales), lds(&piece->convolution.group), quads);
    const int from = lds(&piece->first) + step * kStageQuads, to = minimum(from + kStageQuads, lds(&piece->last));
    const unsigned char* x = stage + lane_id() % 8 * kPitch + lane_id() / 8 * 16;
    QuadScales scales[kRowTiles] = {};
#pragma unroll 1
    for (int quad = from; quad < to; quad++, x += kQuadColumns * 2) {
        if (kWeightScaled<Kind> && (quad == from || scale_table.changes(quad))) {
#pragma unroll
            for (int r = 0; r < kRowTiles; r++) {
                if (r < count) scales[r] = scale_table.load(row_tile + r * kWarps, quad);
            }
        }
        // Rows of x begin an odd multiple of 16 bytes apart: no bank meets twice. Loaded anew for every row tile, which
        // costs less than the registers.
        const auto right = [x](int, int half, uint32_t(&b)[4]) { ldmatrix_x4(b, x + half * 64); };
#pragma unroll
        for (int r = 0; r < kRowTiles; r += kBatch) {
            u32x4 loads[kBatch][kQuadLoads<Kind>] = {};
#pragma unroll
            for (int i = 0; i < kBatch; i++) {
                if (r + i >= count) continue;
                const u32x4* at = quad_address<Kind>(packed, row_tile + (r + i) * kWarps, quads, quad);
#pragma unroll
                for (int l = 0; l < kQuadLoads<Kind>; l++) loads[i][l] = ldg_stream(at + l * kWarp);
            }
#pragma unroll
            for (int i = 0; i < kBatch; i++) {
                if (r + i < count) multiply_quad<Kind, 1>(sums[r + i], loads[i], scales[r + i], right);
            }
        }
    }
}

template <int Kind>
DEVICE void spatial_tokens(float* partial, const Features& features, const uint64_t* table, int convolutions, int quads,
                           int tiles, int width) {
    unsigned char* stages = shared_memory();
    Piece* piece = reinterpret_cast<Piece*>(stages + 2 * kStageBytes);
    // Rows of tiles that are not there stay zero.
    for (int i = thread_x(); i < 2 * kStageBytes / 16; i += kThreads) {
        sts(reinterpret_cast<u32x4*>(stages) + i, u32x4{0, 0, 0, 0});
    }

    for (bool begun = false;; begun = true) {
        barrier();  // the piece before has been used
        if (thread_x() == 0) next_piece(piece, table, convolutions, quads, features.d, tiles, width, begun);
        barrier();
        if (lds(&piece->first) >= lds(&piece->last)) break;
        float sums[kRowTiles][1][4] = {};
        const int steps = ceil_div(lds(&piece->last) - lds(&piece->first), kStageQuads);
#pragma unroll 1
        for (int step = 0; step <= steps; step++) {
            if (step < steps) stage_columns<Kind>(stages + step % 2 * kStageBytes, features, piece, tiles, step);
            if (step > 0) {
                multiply_stage<Kind>(sums, stages + (step - 1) % 2 * kStageBytes, piece, width, step - 1);
            }
            barrier();  // what was staged is there, and what was multiplied is free
        }

        const int rows = lds(&piece->width), all = lds(&piece->tiles);
        const int lane = lane_id(), row_tile = first_row_tile(), count = count_row_tiles(rows);
        const int tile0 = block_x() * kTokens, tokens = minimum(kTokens, all - tile0);
        float* slot = partial + (int64_t(block_y() + lds(&piece->index)) * all + tile0) * rows;
#pragma unroll
        for (int r = 0; r < kRowTiles; r++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int token = lane % 4 * 2 + i % 2, row = (row_tile + r * kWarps) * 16 + lane / 4 + i / 2 * 8;
                if (r < count && token < tokens && row < rows) stg(slot + int64_t(token) * rows + row, sums[r][0][i]);
            }
        }
    }
}

/// Block of the `blocks` that has quad `quad` of `quads`.
DEVICE int block_of(int quad, int blocks, int quads) { return int(((int64_t(quad) + 1) * blocks - 1) / quads); }

}  // namespace

// grid (tiles / 8, blocks, width / 512), each rounded up, so that passes over more tiles find the weights in the second
// cache; shared memory 2 * 8 * 1040 + 128 bytes.
// table: five 64-bit words for each convolution, in order; quads: of a row of all convolutions together.
#define SPATIAL_TOKENS(name, kind)                                                                                    \
    KERNEL(name, kThreads, 2)                                                                                         \
    (float* partial, const void* features, const uint64_t* table, int element, int ld, int tiles, int grid, int d,    \
     int cropping, int convolutions, int quads, int width) {                                                          \
        spatial_tokens<kind>(partial, Features{features, element, ld, grid, d, cropping}, table, convolutions, quads, \
                             tiles, width);                                                                           \
    }                                                                                                                 \
    REGISTER_KERNEL(name)

SPATIAL_TOKENS(spatial_tokens_f16, kWeightF16);
SPATIAL_TOKENS(spatial_tokens_int8, kWeightInt8);
SPATIAL_TOKENS(spatial_tokens_int8mma, kWeightInt8Mma);
SPATIAL_TOKENS(spatial_tokens_int4, kWeightInt4);
SPATIAL_TOKENS(spatial_tokens_bf16, kWeightBF16);

// y [tiles * convolutions, width] = the sums of the pieces. grid (width / 32 rounded up, convolutions, tiles); shared
// memory 2 KB. Warp w adds pieces w, w + 16, …; then the sixteen sums are added in order.
KERNEL(spatial_tokens_sum, kThreads, 1)
(void* y, const float* partial, const uint64_t* table, int element, int ld, int tiles, int convolutions, int quads,
 int blocks, int width) {
    float* sums = reinterpret_cast<float*>(shared_memory());
    const int index = block_y(), tile = block_z(), column = block_x() * kWarp + lane_id();
    const Convolution convolution = load_convolution(table, index);
    const int low = block_of(convolution.first, blocks, quads);
    const int high = block_of(convolution.first + convolution.quads - 1, blocks, quads);
    float sum = 0;
    if (column < width) {
        for (int block = low + warp_id(); block <= high; block += kWarps) {
            sum += ldg(partial + (int64_t(block + index) * tiles + tile) * width + column);
        }
    }
    sts(sums + thread_x(), sum);
    barrier();
    if (warp_id() != 0 || column >= width) return;
    float total = 0;
    for (int w = 0; w < kWarps; w++) total += lds(sums + w * kWarp + lane_id());
    write_element(y, element, (int64_t(tile) * convolutions + index) * ld + column, total);
}
REGISTER_KERNEL(spatial_tokens_sum);
