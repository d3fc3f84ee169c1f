// CLIP embedding: pixels to patches, patches to features, class token, positions, pre-LayerNorm. The published tower:
// 576 patches of 588 values, d = 1024.
#pragma once

#include "linear.inl"
#include "norms.inl"

namespace lsp {
namespace {

void patch_embedding(lsp_engine& engine, float* destination, const PatchEmbedding& p, bool int8_activations) {
    const int64_t grid = p.size / p.patch, n = grid * grid, d = p.patches->rows, k = 3 * p.patch * p.patch;
    const int64_t plane = p.size * p.size;
    float* columns = static_cast<float*>(scratch(engine, Scratch::kFirst, static_cast<size_t>(n * k) * sizeof(float)));
    for (int64_t tile = 0; tile < p.tiles; tile++) {
        const uint8_t* pixels = p.pixels + tile * 3 * plane;
        float* rows = destination + tile * (n + 1) * d;
        parallel_for(engine, n, 8, [=](int64_t begin, int64_t end, int) {
            for (int64_t i = begin; i < end; i++) {
                float* out = columns + i * k;
                for (int64_t channel = 0; channel < 3; channel++) {
                    const float* lookup = p.lookup + channel * 256;
                    const uint8_t* corner = pixels + channel * plane + i / grid * p.patch * p.size + i % grid * p.patch;
                    for (int64_t y = 0; y < p.patch; y++) {
                        for (int64_t x = 0; x < p.patch; x++) *out++ = lookup[corner[y * p.size + x]];
                    }
                }
            }
        });
        for (int64_t c = 0; c < d; c++) rows[c] = p.class_token[c] + p.positions[c];
        linear(engine, {matrix_rows(columns, n, k), n, p.patches, rows + d, nullptr, LSP_NONE, p.positions + d, d},
               int8_activations);
    }
    layer_norm(engine, destination, destination, p.norm_weight, p.norm_bias, p.tiles * (n + 1), d, p.epsilon);
}

}  // namespace
}  // namespace lsp
