#include "kv_cache.h"

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
