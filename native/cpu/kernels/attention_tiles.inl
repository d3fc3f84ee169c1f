// Attention of many query rows: lanes are rows. Queries are transposed once, keys and values are broadcast element by
// element, so that scores, maxima and sums never need a reduction across lanes; the scores of a block of positions are
// all that is ever kept (online softmax).
#pragma once

#include "exp2.inl"
#include "norms.inl"
#include "parallel.inl"
#include "transpose.inl"

namespace lsp {
namespace {

// A register tile: kTileVectors vectors of rows by kTileStep positions (scores) or columns (output).
#if LSP_VECTOR_REGISTERS == 32
constexpr int kTileVectors = 3, kTileStep = 8;
#elif LSP_ISA_LEVEL > 0
constexpr int kTileVectors = 3, kTileStep = 4;
#else
constexpr int kTileVectors = 2, kTileStep = 4;
#endif
constexpr int kTileRows = kTileVectors * kWidth;
constexpr int64_t kBlock = 64;  // positions whose scores are kept
// Tiles that share a converted block of keys and values: as many as leave a level 2 cache some room.
constexpr int64_t kChunkBytes = 384 << 10;

inline F32 load_element(const float* p) { return load(p); }
inline F32 load_element(const uint16_t* p) { return load_f16(p); }
inline F32 load_element_partial(const float* p, int64_t n) { return load_partial(p, n); }
inline F32 load_element_partial(const uint16_t* p, int64_t n) { return load_f16_partial(p, n); }

// One key-value head and the query rows that look at it: row r is head r % group of position r / group.
template <typename Element>
struct Head {
    const float* query;  // row r at r / group * query_stride + r % group * head_dim
    int64_t query_stride;
    float* destination;  // likewise
    int64_t destination_stride;
    int64_t rows;
    int64_t group;
    const Element* keys;  // position j at j * stride
    const Element* values;
    int64_t stride;
    int64_t head_dim;
    int64_t length;  // positions that row 0 sees
    bool causal;     // each position of the query sees one more

    int64_t visible(int64_t row) const { return length + (causal ? row / group : 0); }
};

// State of a tile; matrices are [columns][kTileRows].
struct Tile {
    float* query;       // scaled so that 2^score is wanted
    float* output;      // sum of weights times values …
    float* sums;        // [kTileRows] … and of weights, both relative to
    float* maxima;      // [kTileRows]
    float* correction;  // [kTileRows]: what the last block multiplies earlier sums by
    float* visible;     // [kTileRows]: positions that each row sees

    static int64_t floats(int64_t columns) { return (2 * columns + 4) * kTileRows; }
    Tile(float* memory, int64_t columns)
        : query(memory),
          output(query + columns * kTileRows),
          sums(output + columns * kTileRows),
          maxima(sums + kTileRows),
          correction(maxima + kTileRows),
          visible(correction + kTileRows) {}
};

// scores [count][kTileRows] of N vectors of rows; count rounded up to kTileStep is read from keys and written.
template <int N>
void score_block(const float* query, const float* keys, int64_t columns, int64_t head_dim, int64_t count,
                 float* scores) {
    for (int64_t j = 0; j < count; j += kTileStep) {
        F32 sum[kTileStep][N];
        const float* key[kTileStep];
#pragma GCC unroll 8
        for (int i = 0; i < kTileStep; i++) {
            key[i] = keys + (j + i) * columns;
#pragma GCC unroll 3
            for (int v = 0; v < N; v++) sum[i][v] = zero();
        }
        for (int64_t c = 0; c < head_dim; c++) {
            F32 q[N];
#pragma GCC unroll 3
            for (int v = 0; v < N; v++) q[v] = load(query + c * kTileRows + v * kWidth);
#pragma GCC unroll 8
            for (int i = 0; i < kTileStep; i++) {
                const F32 k = set1(key[i][c]);
#pragma GCC unroll 3
                for (int v = 0; v < N; v++) sum[i][v] = fma(k, q[v], sum[i][v]);
            }
        }
#pragma GCC unroll 8
        for (int i = 0; i < kTileStep; i++) {
#pragma GCC unroll 3
            for (int v = 0; v < N; v++) store(scores + (j + i) * kTileRows + v * kWidth, sum[i][v]);
        }
    }
}

// Turns scores into weights, updates maxima, sums and corrections. position: of the first score.
template <int N, bool kMasked>
void weigh_block(const Tile& tile, float* scores, int64_t count, int64_t position) {
#pragma GCC unroll 3
    for (int v = 0; v < N; v++) {
        float* column = scores + v * kWidth;
        const F32 before = load(tile.maxima + v * kWidth), visible = load(tile.visible + v * kWidth);
        F32 most = before;
        for (int64_t j = 0; j < count; j++) {
            F32 score = load(column + j * kTileRows);
            if (kMasked) {
                score =
                    select_negative(set1(static_cast<float>(position + j)) - visible, score, set1(-__builtin_inff()));
                store(column + j * kTileRows, score);
            }
            most = max(most, score);
        }
        store(tile.maxima + v * kWidth, most);
        const F32 correction = exp2_negative(before - most);
        store(tile.correction + v * kWidth, correction);
        F32 sum = zero();
        for (int64_t j = 0; j < count; j++) {
            const F32 weight = exp2_negative(load(column + j * kTileRows) - most);
            store(column + j * kTileRows, weight);
            sum = sum + weight;
        }
        store(tile.sums + v * kWidth, fma(load(tile.sums + v * kWidth), correction, sum));
    }
}

// output = output * correction + weights^T values. Masked: a value that a row does not see must not reach it even as 0
// * NaN.
template <int N, bool kMasked>
void output_block(const Tile& tile, const float* weights, const float* values, int64_t columns, int64_t head_dim,
                  int64_t count, int64_t position) {
    for (int64_t c = 0; c < head_dim; c += kTileStep) {
        F32 sum[kTileStep][N];
        // From memory for every c: kept in registers, the corrections would drive the weights below out of them.
#pragma GCC unroll 3
        for (int v = 0; v < N; v++) {
            const F32 correction = load(tile.correction + v * kWidth);
#pragma GCC unroll 8
            for (int i = 0; i < kTileStep; i++) {
                sum[i][v] = load(tile.output + (c + i) * kTileRows + v * kWidth) * correction;
            }
        }
        for (int64_t j = 0; j < count; j++) {
            F32 weight[N];
#pragma GCC unroll 3
            for (int v = 0; v < N; v++) weight[v] = load(weights + j * kTileRows + v * kWidth);
            const float* value = values + j * columns + c;
#pragma GCC unroll 8
            for (int i = 0; i < kTileStep; i++) {
                const F32 x = set1(value[i]);
#pragma GCC unroll 3
                for (int v = 0; v < N; v++) {
                    if constexpr (kMasked) {
                        const F32 hidden = set1(static_cast<float>(position + j)) - load(tile.visible + v * kWidth);
                        sum[i][v] = select_negative(hidden, fma(x, weight[v], sum[i][v]), sum[i][v]);
                    } else {
                        sum[i][v] = fma(x, weight[v], sum[i][v]);
                    }
                }
            }
        }
#pragma GCC unroll 8
        for (int i = 0; i < kTileStep; i++) {
#pragma GCC unroll 3
            for (int v = 0; v < N; v++) store(tile.output + (c + i) * kTileRows + v * kWidth, sum[i][v]);
        }
    }
}

template <int N>
void tile_block(const Tile& tile, const float* keys, const float* values, int64_t columns, int64_t head_dim,
                int64_t count, int64_t position, bool masked, float* scores) {
    score_block<N>(tile.query, keys, columns, head_dim, count, scores);
    if (masked) {
        weigh_block<N, true>(tile, scores, count, position);
        output_block<N, true>(tile, scores, values, columns, head_dim, count, position);
    } else {
        weigh_block<N, false>(tile, scores, count, position);
        output_block<N, false>(tile, scores, values, columns, head_dim, count, position);
    }
}

using TileBlock = void (*)(const Tile&, const float*, const float*, int64_t, int64_t, int64_t, int64_t, bool, float*);
constexpr TileBlock kTileBlocks[] = {
    tile_block<1>,
    tile_block<2>,
#if LSP_ISA_LEVEL > 0 || LSP_NEON_LEVEL > 0
    tile_block<3>,
#endif
};

// Rows first … first + rows - 1 of the head.
template <typename Element>
void open_tile(const Head<Element>& head, int64_t first, int64_t rows, int64_t columns, float scale, const Tile& tile) {
    for (int i = 0; i < kTileRows; i += kWidth) {
        for (int64_t c = 0; c < columns; c += kWidth) {
            const int64_t left = head.head_dim - c;
            F32 block[kWidth];
            for (int r = 0; r < kWidth; r++) {
                const int64_t row = first + i + r;
                const float* x =
                    head.query + row / head.group * head.query_stride + row % head.group * head.head_dim + c;
                block[r] = i + r >= rows || left <= 0
                               ? zero()
                               : (left >= kWidth ? load(x) : load_partial(x, left)) * set1(scale);
            }
            transpose(block);
            for (int k = 0; k < kWidth; k++) {
                store(tile.query + (c + k) * kTileRows + i, block[k]);
                store(tile.output + (c + k) * kTileRows + i, zero());
            }
        }
        store(tile.sums + i, zero());
        store(tile.maxima + i, set1(-kLargestFloat));
    }
    for (int i = 0; i < kTileRows; i++)
        tile.visible[i] = static_cast<float>(head.visible(first + (i < rows ? i : rows - 1)));
}

template <typename Element>
void close_tile(const Head<Element>& head, int64_t first, int64_t rows, const Tile& tile) {
    for (int i = 0; i < rows; i += kWidth) {
        const F32 inverse = set1(1.0f) / load(tile.sums + i);
        for (int64_t c = 0; c < head.head_dim; c += kWidth) {
            F32 block[kWidth];
            for (int k = 0; k < kWidth; k++) block[k] = load(tile.output + (c + k) * kTileRows + i) * inverse;
            transpose(block);
            const int64_t left = head.head_dim - c;
            for (int r = 0; r < kWidth && i + r < rows; r++) {
                const int64_t row = first + i + r;
                float* y = head.destination + row / head.group * head.destination_stride +
                           row % head.group * head.head_dim + c;
                if (left >= kWidth) {
                    store(y, block[r]);
                } else {
                    store_partial(y, block[r], left);
                }
            }
        }
    }
}

// count rows as float32 [count][columns], zeros behind head_dim.
template <typename Element>
void unpack_rows(const Element* source, int64_t stride, int64_t head_dim, int64_t count, int64_t columns, float* out) {
    for (int64_t j = 0; j < count; j++) {
        const Element* row = source + j * stride;
        for (int64_t c = 0; c < columns; c += kWidth) {
            const int64_t left = head_dim - c;
            store(out + j * columns + c, left >= kWidth ? load_element(row + c)
                                         : left > 0     ? load_element_partial(row + c, left)
                                                        : zero());
        }
    }
}

inline int64_t tiles_of_chunk(int64_t columns) {
    const int64_t tiles = kChunkBytes / static_cast<int64_t>(sizeof(float)) / Tile::floats(columns);
    return tiles > 1 ? tiles : 1;
}

inline int64_t tile_scratch_floats(int64_t columns) {
    return 2 * kBlock * columns + kBlock * kTileRows + tiles_of_chunk(columns) * Tile::floats(columns);
}

// Tiles begin … end - 1 of a head, at most tiles_of_chunk.
template <typename Element>
void attend_tiles(const Head<Element>& head, int64_t begin, int64_t end, float* memory) {
    const int64_t columns = padded_row(head.head_dim);
    float* keys = memory;
    float* values = keys + kBlock * columns;
    float* scores = values + kBlock * columns;
    float* tiles = scores + kBlock * kTileRows;
    // 2^(x log2 e) = e^x
    const float scale = static_cast<float>(1.44269504088896341 / __builtin_sqrt(static_cast<double>(head.head_dim)));

    for (int64_t t = begin; t < end; t++) {
        const int64_t first = t * kTileRows, rows = head.rows - first < kTileRows ? head.rows - first : kTileRows;
        open_tile(head, first, rows, columns, scale, Tile(tiles + (t - begin) * Tile::floats(columns), columns));
    }
    const int64_t last_row = end * kTileRows < head.rows ? end * kTileRows - 1 : head.rows - 1;
    const int64_t positions = head.visible(last_row);
    for (int64_t j = 0; j < positions; j += kBlock) {
        const int64_t count = positions - j < kBlock ? positions - j : kBlock;
        unpack_rows(head.keys + j * head.stride, head.stride, head.head_dim, count, columns, keys);
        unpack_rows(head.values + j * head.stride, head.stride, head.head_dim, count, columns, values);
        const int64_t filled = (count + kTileStep - 1) / kTileStep * kTileStep;
        memset(keys + count * columns, 0, static_cast<size_t>((filled - count) * columns) * sizeof(float));
        for (int64_t t = begin; t < end; t++) {
            const int64_t first = t * kTileRows, rows = head.rows - first < kTileRows ? head.rows - first : kTileRows;
            const int64_t seen = head.visible(first + rows - 1) - j;
            if (seen <= 0) continue;
            const Tile tile(tiles + (t - begin) * Tile::floats(columns), columns);
            kTileBlocks[(rows - 1) / kWidth](tile, keys, values, columns, head.head_dim, seen < count ? seen : count, j,
                                             head.visible(first) < j + count, scores);
        }
    }
    for (int64_t t = begin; t < end; t++) {
        const int64_t first = t * kTileRows, rows = head.rows - first < kTileRows ? head.rows - first : kTileRows;
        close_tile(head, first, rows, Tile(tiles + (t - begin) * Tile::floats(columns), columns));
    }
}

}  // namespace
}  // namespace lsp
