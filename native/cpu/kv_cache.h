// Keys and values, one block each: [layers][kv_heads][capacity][stride], so that the positions of one head stream. A
// row is head_dim elements and zeros up to a whole number of vectors of every instruction set.
#pragma once

#include <stdint.h>

#include "llavasp_cpu.h"

struct lsp_kv_cache {
    int32_t layers;
    int32_t kv_heads;
    int32_t head_dim;
    int32_t capacity;
    int32_t format;  // LSP_F16 or LSP_F32
    int32_t stride;  // of a position, in elements: head_dim rounded up to kRowUnit
    int64_t bytes;   // of one of the two blocks
    uint8_t* keys;
    uint8_t* values;
};

namespace lsp {
namespace {

constexpr int64_t kRowUnit = 16;

inline int64_t padded_row(int64_t elements) { return (elements + kRowUnit - 1) / kRowUnit * kRowUnit; }

// Of the first element of a position, in elements.
inline int64_t cache_offset(const lsp_kv_cache& cache, int64_t layer, int64_t kv_head, int64_t position) {
    return ((layer * cache.kv_heads + kv_head) * cache.capacity + position) * cache.stride;
}

}  // namespace
}  // namespace lsp
