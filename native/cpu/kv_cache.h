// Keys and values, one block each: [layers][kv_heads][capacity][head_dim], so that the positions of one head stream.
#pragma once

#include <stdint.h>

#include "llavasp_cpu.h"

struct lsp_kv_cache {
    int32_t layers;
    int32_t kv_heads;
    int32_t head_dim;
    int32_t capacity;
    int32_t format;  // LSP_F16 or LSP_F32
    int64_t bytes;   // of one of the two blocks
    uint8_t* keys;
    uint8_t* values;
};
