// Table of the operations in kernels/matrix_ops.inl; shapes as in llavasp_cpu.h, arguments already checked.
#pragma once

#include <stdint.h>

#include "llavasp_cpu.h"

namespace lsp {

// Rows of a left operand that need not lie one after the other: element c of row i is at
// data + r / block * apart + r % block / across * down + r % block % across * right + c / segment * skip + c % segment,
// r = first + i: blocks (tiles of a picture) of lines (of a grid) of windows, each window made of segments.
struct Rows {
    const float* data;
    int64_t first;
    int64_t block;
    int64_t apart;
    int64_t across;
    int64_t down;
    int64_t right;
    int64_t segment;
    int64_t skip;
};

// y [m, n] = activation(x [m, k] * weight [n, k]^T + bias [n]) + residual [m, n]; rows of y and residual are `stride`
// apart.
struct Product {
    Rows x;
    int64_t m;
    const lsp_weight* weight;
    float* y;
    const float* bias;
    int activation;
    const float* residual;
    int64_t stride;
};

struct PatchEmbedding {
    const uint8_t* pixels;
    const float* lookup;
    int64_t tiles;
    int64_t size;
    int64_t patch;
    const lsp_weight* patches;
    const float* class_token;
    const float* positions;
    const float* norm_weight;
    const float* norm_bias;
    float epsilon;
};

struct SpatialTokens {
    const float* features;
    int64_t tiles;
    int64_t grid;
    int64_t d;
    int mode;
    int count;
    const int32_t* sizes;
    const lsp_weight* const* kernels;
};

struct DetailFusion {
    const float* tokens;
    int64_t count;  // of one tile
    const float* features;
    int64_t tiles;
    int64_t grid;
    int64_t d;
    int64_t kernel;
    int64_t stride;
    const lsp_weight* conv;
    lsp_norm_linear query;
    lsp_norm_linear key;
    lsp_norm_linear value;
    float epsilon;
    lsp_fusion_trace trace;
};

struct MatrixKernels {
    void (*linear)(lsp_engine&, const Product&, bool int8_activations);
    void (*patch_embedding)(lsp_engine&, float* destination, const PatchEmbedding&, bool int8_activations);
    void (*adaptive_pool)(lsp_engine&, float* destination, const float* features, int64_t grid, int64_t d,
                          int64_t size);
    void (*spatial_tokens)(lsp_engine&, float* destination, const SpatialTokens&, bool int8_activations);
    void (*detail_fusion)(lsp_engine&, float* destination, const DetailFusion&, bool int8_activations);
    // See bench.cpp: work for one thread, in registers; both return something that depends on all of it.
    float (*bench_read)(const uint8_t* data, int64_t bytes);
    float (*bench_fma)(int64_t rounds);
    int32_t (*bench_int8_dot)(int64_t rounds);
    int64_t fma_per_round;   // multiply-adds of one round of bench_fma
    int64_t int8_per_round;  // multiply-adds of one round of bench_int8_dot
};

}  // namespace lsp
