// Attention of few query rows over a long cache (decoding): bound by the reading of keys and values, so every row of a
// key-value head is served by one pass over them, and the positions are cut into pieces that threads can share. The
// cuts depend on positions only, never on the number of threads, and the pieces are put together in order.
#pragma once

#include "attention_tiles.inl"
#include "exp2.inl"
#include "norms.inl"

namespace lsp {
namespace {

constexpr int64_t kPiece = 256;  // positions of a piece

// Keys and values come from memory, and the processor's own prefetching starts anew with every page: what is read this
// many bytes later is asked for.
constexpr int64_t kCacheAhead = 2048;

template <typename Element>
inline void prefetch_ahead(const Element* at, int64_t columns) {
    const char* p = reinterpret_cast<const char*>(at) + kCacheAhead;
    for (int64_t line = 0; line < columns * static_cast<int64_t>(sizeof(Element)); line += 64) prefetch(p + line);
}

// Weighted sum of the values of a piece for one row, before division by the sum of weights: output [columns], maximum,
// sum.
inline int64_t piece_floats(int64_t columns) { return columns + kRowUnit; }

// scores[r * (kPiece + kRowUnit) + j] = query row r . key j, for R rows; writes up to kRowUnit - 1 scores behind
// `count`.
template <int R, typename Element>
void score_rows(const float* query, const Element* keys, int64_t columns, int64_t count, float* scores) {
    constexpr int kEach = kWidth / R;
    for (int64_t j = 0; j < count; j += kEach) {
        const Element* key[kEach];
#pragma GCC unroll 16
        for (int i = 0; i < kEach; i++) {
            key[i] = keys + (j + i < count ? j + i : count - 1) * columns;
            prefetch_ahead(key[i], columns);
        }
        F32 sum[kWidth];
#pragma GCC unroll 16
        for (int i = 0; i < kWidth; i++) sum[i] = zero();
        for (int64_t c = 0; c < columns; c += kWidth) {
            F32 q[R];
#pragma GCC unroll 4
            for (int r = 0; r < R; r++) q[r] = load(query + r * columns + c);
#pragma GCC unroll 16
            for (int i = 0; i < kEach; i++) {
                const F32 k = load_element(key[i] + c);
#pragma GCC unroll 4
                for (int r = 0; r < R; r++) sum[r * kEach + i] = fma(q[r], k, sum[r * kEach + i]);
            }
        }
        float each[kWidth];
        store(each, sum_each(sum));
        for (int r = 0; r < R; r++)
            memcpy(scores + r * (kPiece + kRowUnit) + j, each + r * kEach, kEach * sizeof(float));
    }
}

// Turns count scores into weights relative to the largest.
inline void weigh_row(float* scores, int64_t count, float* maximum, float* sum) {
    const int64_t filled = (count + kWidth - 1) / kWidth * kWidth;
    for (int64_t j = count; j < filled; j++) scores[j] = -__builtin_inff();
    F32 most = set1(-kLargestFloat);
    for (int64_t j = 0; j < count; j += kWidth) most = max(most, load(scores + j));
    *maximum = reduce_max(most);
    F32 total = zero();
    for (int64_t j = 0; j < count; j += kWidth) {
        const F32 weight = exp2_negative(load(scores + j) - set1(*maximum));
        store(scores + j, weight);
        total = total + weight;
    }
    *sum = reduce_add(total);
}

// Adds weights times V vectors of the values of positions begin … end - 1 to R rows of output, output_stride apart.
template <int R, int V, typename Element>
inline void add_values(const float* weights, const Element* values, int64_t columns, int64_t begin, int64_t end,
                       float* output, int64_t output_stride) {
    F32 sum[R][V];
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) sum[r][v] = load(output + r * output_stride + v * kWidth);
    }
    for (int64_t j = begin; j < end; j++) {
        F32 x[V];
        prefetch_ahead(values + j * columns, V * kWidth);
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) x[v] = load_element(values + j * columns + v * kWidth);
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            const F32 weight = set1(weights[r * (kPiece + kRowUnit) + j]);
#pragma GCC unroll 8
            for (int v = 0; v < V; v++) sum[r][v] = fma(weight, x[v], sum[r][v]);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) store(output + r * output_stride + v * kWidth, sum[r][v]);
    }
}

template <int R, typename Element>
void output_rows(const float* weights, const Element* values, int64_t columns, int64_t begin, int64_t end,
                 float* output, int64_t output_stride) {
    // As many sums as the registers hold.
    constexpr int kMost = LSP_VECTOR_REGISTERS / 2 / R > 8 ? 8 : LSP_VECTOR_REGISTERS / 2 / R;
    int64_t c = 0;
    for (; c + kMost * kWidth <= columns; c += kMost * kWidth) {
        add_values<R, kMost>(weights, values + c, columns, begin, end, output + c, output_stride);
    }
    for (; c < columns; c += kWidth)
        add_values<R, 1>(weights, values + c, columns, begin, end, output + c, output_stride);
}

// Rows first … first + R - 1 of the head over positions from … to - 1. query [R][columns], results piece_floats apart.
template <int R, typename Element>
void attend_piece(const Head<Element>& head, const float* query, int64_t first, int64_t from, int64_t to, float* scores,
                  float* results) {
    const int64_t columns = head.stride, stride = piece_floats(columns);
    const Element* keys = head.keys + from * columns;
    const Element* values = head.values + from * columns;
    int64_t counts[R];
    for (int r = 0; r < R; r++) {
        const int64_t seen = head.visible(first + r) < to ? head.visible(first + r) - from : to - from;
        counts[r] = seen > 0 ? seen : 0;
    }
    memset(results, 0, static_cast<size_t>(R * stride) * sizeof(float));
    score_rows<R>(query, keys, columns, counts[R - 1], scores);
    for (int r = 0; r < R; r++) {
        float* result = results + r * stride;
        weigh_row(scores + r * (kPiece + kRowUnit), counts[r], result + columns, result + columns + 1);
    }
    // Together as far as the first row sees, which is all when there is one position; the others go on alone.
    output_rows<R>(scores, values, columns, 0, counts[0], results, stride);
    for (int r = 1; r < R; r++) {
        output_rows<1>(scores + r * (kPiece + kRowUnit), values, columns, counts[0], counts[r], results + r * stride,
                       stride);
    }
}

inline float exp2_negative_one(float x) {
    float lanes[kWidth];
    store(lanes, exp2_negative(set1(x)));
    return lanes[0];
}

// Puts the pieces of one row together; they lie `step` apart.
inline void join_pieces(const float* results, int64_t pieces, int64_t step, int64_t columns, int64_t head_dim,
                        float* weights, float* output) {
    float most = -kLargestFloat;
    for (int64_t p = 0; p < pieces; p++) most = results[p * step + columns] > most ? results[p * step + columns] : most;
    float sum = 0;
    for (int64_t p = 0; p < pieces; p++) {
        weights[p] = exp2_negative_one(results[p * step + columns] - most);
        sum += weights[p] * results[p * step + columns + 1];
    }
    const F32 inverse = set1(1.0f / sum);
    for (int64_t c = 0; c < head_dim; c += kWidth) {
        F32 total = zero();
        for (int64_t p = 0; p < pieces; p++) total = fma(set1(weights[p]), load(results + p * step + c), total);
        if (head_dim - c >= kWidth) {
            store(output + c, total * inverse);
        } else {
            store_partial(output + c, total * inverse, head_dim - c);
        }
    }
}

}  // namespace
}  // namespace lsp
