// C ABI: operations on vectors and rows, attention, cache, embedding, choice of a token.
#include <cstring>

#include "api.h"
#include "engine.h"
#include "kernels/parallel.inl"
#include "kv_cache.h"
#include "weights.h"

using namespace lsp;

namespace {

bool all_below(const int32_t* indices, int64_t count, int64_t rows) {
    for (int64_t i = 0; i < count; i++) {
        if (indices[i] < 0 || indices[i] >= rows) return false;
    }
    return true;
}

// m more positions from `first` on of a layer, looked at by `heads` heads.
bool fits(const lsp_kv_cache& cache, int64_t m, int32_t heads, int32_t layer, int64_t first) {
    return m >= 0 && heads >= 1 && heads % cache.kv_heads == 0 && layer >= 0 && layer < cache.layers && first >= 0 &&
           first <= cache.capacity && m <= cache.capacity - first;
}

}  // namespace

int32_t lsp_copy(lsp_engine* engine, float* destination, const float* source, int64_t count) {
    return guarded(engine && destination && source && count >= 0, [&] {
        parallel_for(*engine, count, 1 << 16, [=](int64_t begin, int64_t end, int) {
            std::memcpy(destination + begin, source + begin, static_cast<size_t>(end - begin) * sizeof(float));
        });
        return LSP_OK;
    });
}

int32_t lsp_activate(lsp_engine* engine, float* destination, const float* source, int64_t count, int32_t activation) {
    return guarded(
        engine && destination && source && count >= 0 && activation >= LSP_NONE && activation <= LSP_QUICK_GELU, [&] {
            engine->isa.vector->activate(*engine, destination, source, count, activation);
            return LSP_OK;
        });
}

int32_t lsp_layer_norm(lsp_engine* engine, float* destination, const float* source, const float* weight,
                       const float* bias, int64_t rows, int64_t columns, float epsilon) {
    return guarded(engine && destination && source && weight && bias && rows >= 0 && columns >= 1, [&] {
        engine->isa.vector->layer_norm(*engine, destination, source, weight, bias, rows, columns, epsilon);
        return LSP_OK;
    });
}

int32_t lsp_rms_norm(lsp_engine* engine, float* destination, const float* source, const float* weight, int64_t rows,
                     int64_t columns, float epsilon) {
    return guarded(engine && destination && source && weight && rows >= 0 && columns >= 1, [&] {
        engine->isa.vector->rms_norm(*engine, destination, source, weight, rows, columns, epsilon);
        return LSP_OK;
    });
}

int32_t lsp_gated_activation(lsp_engine* engine, float* destination, const float* gate_up, int64_t m, int64_t n) {
    return guarded(engine && destination && gate_up && m >= 0 && n >= 1, [&] {
        engine->isa.vector->gated_activation(*engine, destination, gate_up, m, n);
        return LSP_OK;
    });
}

int32_t lsp_full_attention(lsp_engine* engine, float* destination, const float* qkv, int64_t batch, int64_t n,
                           int32_t heads, int32_t head_dim) {
    return guarded(engine && destination && qkv && batch >= 0 && n >= 1 && heads >= 1 && head_dim >= 1, [&] {
        engine->isa.vector->full_attention(*engine, destination, qkv, batch, n, heads, head_dim);
        return LSP_OK;
    });
}

int32_t lsp_rope_and_cache(lsp_engine* engine, float* query, const float* qkv, int64_t m, int32_t heads,
                           lsp_kv_cache* cache, int32_t layer, int64_t first, const float* cosines,
                           const float* sines) {
    const bool valid = engine && query && qkv && cache && cosines && sines && fits(*cache, m, heads, layer, first);
    return guarded(valid, [&] {
        engine->isa.vector->rope_and_cache(*engine, query, qkv, m, heads, *cache, layer, first, cosines, sines);
        return LSP_OK;
    });
}

int32_t lsp_causal_attention(lsp_engine* engine, float* destination, const float* query, int64_t m, int32_t heads,
                             const lsp_kv_cache* cache, int32_t layer, int64_t first) {
    const bool valid = engine && destination && query && cache && fits(*cache, m, heads, layer, first);
    return guarded(valid, [&] {
        if (m > 0) engine->isa.vector->causal_attention(*engine, destination, query, m, heads, *cache, layer, first);
        return LSP_OK;
    });
}

int32_t lsp_embed(lsp_engine* engine, float* destination, const lsp_weight* table, const int32_t* ids, int64_t count) {
    return guarded(engine && destination && table && ids && count >= 0 && all_below(ids, count, table->rows), [&] {
        parallel_for(*engine, count, 1, [=](int64_t begin, int64_t end, int) {
            for (int64_t i = begin; i < end; i++) read_row(*table, ids[i], destination + i * table->columns);
        });
        return LSP_OK;
    });
}

int32_t lsp_argmax(lsp_engine* engine, const float* values, int64_t n, int64_t* index) {
    return guarded(engine && values && index && n >= 1, [&] {
        *index = engine->isa.vector->argmax(values, n);
        return *index < 0 ? LSP_NOT_A_NUMBER : LSP_OK;
    });
}
