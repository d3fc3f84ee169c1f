#include "kv_cache.h"

#include <cstring>
#include <memory>

#include "api.h"
#include "memory.h"

using namespace lsp;

int32_t lsp_kv_cache_create(int32_t layers, int32_t kv_heads, int32_t head_dim, int32_t capacity, int32_t format,
                            lsp_kv_cache** out) {
    const bool valid = out && layers >= 1 && layers <= 1 << 12 && kv_heads >= 1 && kv_heads <= 1 << 12 &&
                       head_dim >= 2 && head_dim <= 1 << 12 && head_dim % 2 == 0 && capacity >= 1 &&
                       (format == LSP_F16 || format == LSP_F32);
    return guarded(valid, [&] {
        auto cache = std::make_unique<lsp_kv_cache>();
        const int64_t positions = int64_t{layers} * kv_heads * capacity;  // below 2^55
        if (positions > int64_t{1} << 32) throw std::bad_alloc();
        const int32_t stride = static_cast<int32_t>(padded_row(head_dim));
        *cache = {
            layers,  kv_heads, head_dim, capacity, format, stride, positions * stride * (format == LSP_F16 ? 2 : 4),
            nullptr, nullptr};
        Buffer keys(static_cast<size_t>(cache->bytes)), values(static_cast<size_t>(cache->bytes));
        cache->keys = keys.detach();
        cache->values = values.detach();
        *out = cache.release();
        return LSP_OK;
    });
}

void lsp_kv_cache_destroy(lsp_kv_cache* cache) {
    if (cache == nullptr) return;
    release(cache->keys, static_cast<size_t>(cache->bytes));
    release(cache->values, static_cast<size_t>(cache->bytes));
    delete cache;
}

int32_t lsp_kv_cache_copy(lsp_kv_cache* destination, const lsp_kv_cache* source, int64_t positions) {
    const bool valid = destination && source && destination->layers == source->layers &&
                       destination->kv_heads == source->kv_heads && destination->head_dim == source->head_dim &&
                       destination->format == source->format && positions >= 0 && positions <= destination->capacity &&
                       positions <= source->capacity;
    return guarded(valid, [&] {
        const int64_t element = source->format == LSP_F16 ? 2 : 4;
        const size_t bytes = static_cast<size_t>(positions * source->stride * element);
        if (destination == source || bytes == 0) return LSP_OK;
        for (int64_t layer = 0; layer < source->layers; layer++) {
            for (int64_t head = 0; head < source->kv_heads; head++) {
                const int64_t to = cache_offset(*destination, layer, head, 0) * element;
                const int64_t from = cache_offset(*source, layer, head, 0) * element;
                memcpy(destination->keys + to, source->keys + from, bytes);
                memcpy(destination->values + to, source->values + from, bytes);
            }
        }
        return LSP_OK;
    });
}
