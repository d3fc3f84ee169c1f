// C ABI: matrix products and what is built on them.
#include <cstring>

#include "api.h"
#include "engine.h"
#include "weights.h"

using namespace lsp;

namespace {

bool is_activation(int32_t activation) { return activation >= LSP_NONE && activation <= LSP_QUICK_GELU; }

bool fits(const lsp_norm_linear* p, int64_t width) {
    return p && p->norm_weight && p->norm_bias && p->linear && p->bias && p->linear->rows == width &&
           p->linear->columns == width;
}

constexpr int64_t kMostCells = 1 << 12;  // edge of a grid: keeps products of sizes far from overflow

bool is_grid(int64_t grid, int64_t d) { return grid >= 1 && grid <= kMostCells && d >= 1 && d < int64_t{1} << 31; }

bool are_tiles(int64_t tiles, int64_t grid, int64_t d) { return tiles >= 1 && tiles <= 1024 && is_grid(grid, d); }

}  // namespace

int32_t lsp_linear(lsp_engine* engine, float* y, const float* x, int64_t m, const lsp_weight* weight, const float* bias,
                   int32_t activation, const float* residual, int32_t int8_activations) {
    return guarded(engine && y && x && m >= 0 && weight && is_activation(activation), [&] {
        const int64_t k = weight->columns;
        engine->isa.matrix->linear(
            *engine, {{x, 0, m, 0, m, 0, k, k, 0}, m, weight, y, bias, activation, residual, weight->rows},
            int8_activations != 0);
        return LSP_OK;
    });
}

int32_t lsp_patch_embedding(lsp_engine* engine, float* destination, const uint8_t* pixels, const float* lookup,
                            int64_t tiles, int64_t size, int64_t patch, const lsp_weight* patches,
                            const float* class_token, const float* positions, const float* norm_weight,
                            const float* norm_bias, float epsilon, int32_t int8_activations) {
    const bool valid = engine && destination && pixels && lookup && tiles >= 0 && patch >= 1 && size >= patch &&
                       size <= kMostCells && patches && patches->columns == 3 * patch * patch && class_token &&
                       positions && norm_weight && norm_bias;
    return guarded(valid, [&] {
        engine->isa.matrix->patch_embedding(
            *engine, destination,
            {pixels, lookup, tiles, size, patch, patches, class_token, positions, norm_weight, norm_bias, epsilon},
            int8_activations != 0);
        return LSP_OK;
    });
}

int32_t lsp_adaptive_pool(lsp_engine* engine, float* destination, const float* features, int64_t grid, int64_t d,
                          int64_t size) {
    return guarded(engine && destination && features && is_grid(grid, d) && size >= 1 && size <= kMostCells, [&] {
        engine->isa.matrix->adaptive_pool(*engine, destination, features, grid, d, size);
        return LSP_OK;
    });
}

int32_t lsp_spatial_tokens(lsp_engine* engine, float* destination, const float* features, int64_t tiles, int64_t grid,
                           int64_t d, int32_t mode, int32_t count, const int32_t* sizes,
                           const lsp_weight* const* kernels, int32_t int8_activations) {
    bool valid = engine && destination && features && are_tiles(tiles, grid, d) &&
                 (mode == LSP_POOLING || mode == LSP_CROPPING) && count >= 1 && count <= kMostCells && sizes && kernels;
    for (int32_t i = 0; valid && i < count; i++) {
        valid = kernels[i] && sizes[i] >= 1 && sizes[i] <= kMostCells && (mode == LSP_POOLING || sizes[i] <= grid) &&
                kernels[i]->columns == int64_t{sizes[i]} * sizes[i] * d && kernels[i]->rows == kernels[0]->rows;
    }
    return guarded(valid, [&] {
        engine->isa.matrix->spatial_tokens(
            *engine, destination, {features, tiles, grid, d, mode, count, sizes, kernels}, int8_activations != 0);
        return LSP_OK;
    });
}

int32_t lsp_detail_fusion(lsp_engine* engine, float* destination, const float* tokens, int64_t count,
                          const float* features, int64_t tiles, int64_t grid, int64_t d, int64_t kernel, int64_t stride,
                          const lsp_weight* conv, const lsp_norm_linear* query, const lsp_norm_linear* key,
                          const lsp_norm_linear* value, float epsilon, const lsp_fusion_trace* trace,
                          int32_t int8_activations) {
    const bool valid = engine && destination && tokens && count >= 0 && features && are_tiles(tiles, grid, d) &&
                       kernel >= 1 && kernel <= grid && stride >= 1 && conv && conv->columns == kernel * kernel * d &&
                       fits(query, conv->rows) && fits(key, conv->rows) && fits(value, conv->rows);
    return guarded(valid, [&] {
        const lsp_fusion_trace nothing = {};
        engine->isa.matrix->detail_fusion(*engine, destination,
                                          {tokens, count, features, tiles, grid, d, kernel, stride, conv, *query, *key,
                                           *value, epsilon, trace != nullptr ? *trace : nothing},
                                          int8_activations != 0);
        return LSP_OK;
    });
}

int32_t lsp_gather(lsp_engine* engine, float* destination, const float* source, int64_t rows, int64_t columns,
                   const int32_t* ids, int64_t count) {
    bool valid = engine && destination && source && rows >= 0 && columns >= 1 && ids && count >= 0;
    for (int64_t i = 0; valid && i < count; i++) valid = ids[i] >= 0 && ids[i] < rows;
    return guarded(valid, [&] {
        const auto copy = [=](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; i++) {
                std::memcpy(destination + i * columns, source + ids[i] * columns,
                            static_cast<size_t>(columns) * sizeof(float));
            }
        };
        using Copy = decltype(copy);
        engine->pool.run(
            count, 16,
            [](void* context, int64_t begin, int64_t end, int) { (*static_cast<const Copy*>(context))(begin, end); },
            const_cast<void*>(static_cast<const void*>(&copy)));
        return LSP_OK;
    });
}
