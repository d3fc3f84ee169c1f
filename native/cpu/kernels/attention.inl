#pragma once

#include "../kv_cache.h"
#include "attention_rows.inl"
#include "attention_tiles.inl"
#include "exp2.inl"
#include "parallel.inl"
#include "transpose.inl"

namespace lsp {
namespace {

// Rows of every one of `heads` heads that attend_tiles takes; make(i) gives the i-th head, all of them have as many
// rows.
template <typename MakeHead>
void attend_all_tiles(lsp_engine& engine, int64_t heads, int64_t rows, int64_t head_dim, const MakeHead& make) {
    const int64_t tiles = (rows + kTileRows - 1) / kTileRows;
    // Shared conversion of keys and values against work for every thread; a row's result does not depend on the chunk
    // it is in.
    int64_t most = tiles_of_chunk(padded_row(head_dim));
    while (most > 1 && heads * ((tiles + most - 1) / most) < 4 * threads(engine)) most--;
    const int64_t chunks = (tiles + most - 1) / most;
    reserve_thread_scratch(engine, static_cast<size_t>(tile_scratch_floats(padded_row(head_dim))) * sizeof(float));
    parallel_for(engine, heads * chunks, 1, [&](int64_t begin, int64_t end, int thread) {
        for (int64_t i = begin; i < end; i++) {
            // The last rows see most when causal: they go first, so that no thread is left with them.
            const int64_t chunk = chunks - 1 - i / heads;
            attend_tiles(make(i % heads), chunk * tiles / chunks, (chunk + 1) * tiles / chunks,
                         static_cast<float*>(thread_scratch(engine, thread)));
        }
    });
}

// qkv [batch * n, 3 * heads * head_dim]
void full_attention(lsp_engine& engine, float* destination, const float* qkv, int64_t batch, int64_t n, int heads,
                    int head_dim) {
    const int64_t width = int64_t{heads} * head_dim;
    attend_all_tiles(engine, batch * heads, n, head_dim, [=](int64_t i) {
        const int64_t row = i / heads * n, column = i % heads * head_dim;
        const float* query = qkv + row * 3 * width + column;
        return Head<float>{query,
                           3 * width,
                           destination + row * width + column,
                           width,
                           n,
                           1,
                           query + width,
                           query + 2 * width,
                           3 * width,
                           head_dim,
                           n,
                           false};
    });
}

// All rows of one key-value head with attend_piece, four at a time. queries [rows][columns]
template <typename Element>
void attend_rows(const Head<Element>& head, const float* queries, int64_t from, int64_t to, float* scores,
                 float* results) {
    const int64_t columns = head.stride, step = piece_floats(columns);
    int64_t r = 0;
    for (; r + 4 <= head.rows; r += 4)
        attend_piece<4>(head, queries + r * columns, r, from, to, scores, results + r * step);
    for (; r + 2 <= head.rows; r += 2)
        attend_piece<2>(head, queries + r * columns, r, from, to, scores, results + r * step);
    if (r < head.rows) attend_piece<1>(head, queries + r * columns, r, from, to, scores, results + r * step);
}

template <typename Element, typename MakeHead>
void attend_all_rows(lsp_engine& engine, int64_t heads, const Head<Element>& shape, const MakeHead& make) {
    const int64_t rows = shape.rows, columns = shape.stride, head_dim = shape.head_dim;
    const int64_t positions = shape.visible(rows - 1), pieces = (positions + kPiece - 1) / kPiece;
    const int64_t step = piece_floats(columns);
    // results [heads][pieces][rows][step]; thread scratch: queries [rows][columns] and scores of four rows, later a
    // weight for each piece.
    float* results = static_cast<float*>(
        scratch(engine, Scratch::kFirst, static_cast<size_t>(heads * pieces * rows * step) * sizeof(float)));
    const int64_t own = rows * columns + 4 * (kPiece + kRowUnit);
    reserve_thread_scratch(engine, static_cast<size_t>(own > pieces ? own : pieces) * sizeof(float));
    const float scale = static_cast<float>(1.44269504088896341 / __builtin_sqrt(static_cast<double>(head_dim)));

    parallel_for(engine, heads * pieces, 1, [&](int64_t begin, int64_t end, int thread) {
        float* queries = static_cast<float*>(thread_scratch(engine, thread));
        for (int64_t i = begin; i < end; i++) {
            const Head<Element> head = make(i / pieces);
            for (int64_t r = 0; r < rows; r++) {
                const float* x = head.query + r / head.group * head.query_stride + r % head.group * head_dim;
                unpack_rows(x, 0, head_dim, 1, columns, queries + r * columns);
                for (int64_t c = 0; c < columns; c += kWidth)
                    store(queries + r * columns + c, load(queries + r * columns + c) * set1(scale));
            }
            const int64_t from = i % pieces * kPiece, to = from + kPiece < positions ? from + kPiece : positions;
            attend_rows(head, queries, from, to, queries + rows * columns, results + i * rows * step);
        }
    });
    parallel_for(engine, heads * rows, 65536 / (pieces * columns) + 1, [&](int64_t begin, int64_t end, int thread) {
        for (int64_t i = begin; i < end; i++) {
            const Head<Element> head = make(i / rows);
            const int64_t r = i % rows;
            float* y = head.destination + r / head.group * head.destination_stride + r % head.group * head_dim;
            join_pieces(results + (i / rows * pieces * rows + r) * step, pieces, rows * step, columns, head_dim,
                        static_cast<float*>(thread_scratch(engine, thread)), y);
        }
    });
}

template <typename Element>
void causal_attention_as(lsp_engine& engine, float* destination, const float* query, int64_t m, int heads,
                         const lsp_kv_cache& cache, int layer, int64_t first) {
    const int64_t group = heads / cache.kv_heads, head_dim = cache.head_dim, width = heads * head_dim;
    const lsp_kv_cache* shape = &cache;
    auto make = [=](int64_t kv_head) {
        const int64_t at = cache_offset(*shape, layer, kv_head, 0), column = kv_head * group * head_dim;
        return Head<Element>{query + column,
                             width,
                             destination + column,
                             width,
                             m * group,
                             group,
                             reinterpret_cast<const Element*>(shape->keys) + at,
                             reinterpret_cast<const Element*>(shape->values) + at,
                             shape->stride,
                             head_dim,
                             first + 1,
                             true};
    };
    if (m == 1 || m * group <= 8) {
        attend_all_rows(engine, cache.kv_heads, make(0), make);
    } else {
        attend_all_tiles(engine, cache.kv_heads, m * group, head_dim, make);
    }
}

void causal_attention(lsp_engine& engine, float* destination, const float* query, int64_t m, int heads,
                      const lsp_kv_cache& cache, int layer, int64_t first) {
    if (cache.format == LSP_F16) {
        causal_attention_as<uint16_t>(engine, destination, query, m, heads, cache, layer, first);
    } else {
        causal_attention_as<float>(engine, destination, query, m, heads, cache, layer, first);
    }
}

}  // namespace
}  // namespace lsp
