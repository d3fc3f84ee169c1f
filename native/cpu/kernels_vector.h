// Table of the operations in kernels/vector_ops.inl; shapes as in llavasp_cpu.h, arguments already checked.
#pragma once

#include <stdint.h>

#include "llavasp_cpu.h"

namespace lsp {

struct VectorKernels {
    void (*activate)(lsp_engine& engine, float* destination, const float* source, int64_t count, int activation);
    void (*gated_activation)(lsp_engine& engine, float* destination, const float* gate_up, int64_t m, int64_t n);
    void (*layer_norm)(lsp_engine& engine, float* destination, const float* source, const float* weight,
                       const float* bias, int64_t rows, int64_t columns, float epsilon);
    void (*rms_norm)(lsp_engine& engine, float* destination, const float* source, const float* weight, int64_t rows,
                     int64_t columns, float epsilon);
    void (*full_attention)(lsp_engine& engine, float* destination, const float* qkv, int64_t batch, int64_t n,
                           int heads, int head_dim);
    void (*rope_and_cache)(lsp_engine& engine, float* query, const float* qkv, int64_t m, int heads,
                           lsp_kv_cache& cache, int layer, int64_t first, const float* cosines, const float* sines);
    void (*causal_attention)(lsp_engine& engine, float* destination, const float* query, int64_t m, int heads,
                             const lsp_kv_cache& cache, int layer, int64_t first);
    // First index of the largest value; -1 when there is a NaN.
    int64_t (*argmax)(const float* values, int64_t n);
};

}  // namespace lsp
