#pragma once

#include "../kv_cache.h"
#include "parallel.inl"

namespace lsp {
namespace {

inline void store_as(float* p, F32 a) { store(p, a); }
inline void store_as(uint16_t* p, F32 a) { store_f16(p, a); }
inline void store_as_partial(float* p, F32 a, int64_t n) { store_partial(p, a, n); }
inline void store_as_partial(uint16_t* p, F32 a, int64_t n) { store_f16_partial(p, a, n); }

// Pairs (i, i + half) turned by an angle each.
template <typename Element>
inline void rotate(Element* out, const float* x, const float* cosines, const float* sines, int64_t half) {
    int64_t c = 0;
    for (; c + kWidth <= half; c += kWidth) {
        const F32 a = load(x + c), b = load(x + half + c), cosine = load(cosines + c), sine = load(sines + c);
        store_as(out + c, a * cosine - b * sine);
        store_as(out + half + c, b * cosine + a * sine);
    }
    if (c < half) {
        const int64_t left = half - c;
        const F32 a = load_partial(x + c, left), b = load_partial(x + half + c, left);
        const F32 cosine = load_partial(cosines + c, left), sine = load_partial(sines + c, left);
        store_as_partial(out + c, a * cosine - b * sine, left);
        store_as_partial(out + half + c, b * cosine + a * sine, left);
    }
}

template <typename Element>
inline void write_row(Element* out, const float* x, int64_t n) {
    int64_t c = 0;
    for (; c + kWidth <= n; c += kWidth) store_as(out + c, load(x + c));
    if (c < n) store_as_partial(out + c, load_partial(x + c, n - c), n - c);
}

template <typename Element>
void rope_and_cache_as(lsp_engine& engine, float* query, const float* qkv, int64_t m, int heads, lsp_kv_cache& cache,
                       int layer, int64_t first, const float* cosines, const float* sines) {
    const int64_t head_dim = cache.head_dim, half = head_dim / 2, kv_heads = cache.kv_heads, all = heads + 2 * kv_heads;
    Element* keys = reinterpret_cast<Element*>(cache.keys);
    Element* values = reinterpret_cast<Element*>(cache.values);
    const lsp_kv_cache* shape = &cache;
    // Head h of row r: a query, a key or a value.
    parallel_for(engine, m * all, 64, [=](int64_t begin, int64_t end, int) {
        for (int64_t i = begin; i < end; i++) {
            const int64_t row = i / all, position = first + row;
            int64_t h = i % all;
            const float* x = qkv + i * head_dim;
            const float* cosine = cosines + position * half;
            const float* sine = sines + position * half;
            if (h < heads) {
                rotate(query + (row * heads + h) * head_dim, x, cosine, sine, half);
            } else if ((h -= heads) < kv_heads) {
                rotate(keys + cache_offset(*shape, layer, h, position), x, cosine, sine, half);
            } else {
                write_row(values + cache_offset(*shape, layer, h - kv_heads, position), x, head_dim);
            }
        }
    });
}

void rope_and_cache(lsp_engine& engine, float* query, const float* qkv, int64_t m, int heads, lsp_kv_cache& cache,
                    int layer, int64_t first, const float* cosines, const float* sines) {
    if (cache.format == LSP_F16) {
        rope_and_cache_as<uint16_t>(engine, query, qkv, m, heads, cache, layer, first, cosines, sines);
    } else {
        rope_and_cache_as<float>(engine, query, qkv, m, heads, cache, layer, first, cosines, sines);
    }
}

}  // namespace
}  // namespace lsp
