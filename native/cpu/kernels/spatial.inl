// Spatial tokens (SFE) and detail fusion (DFI). The six kernels of the published models hold 763 M weights and conv_CM
// 134 M, each used once per picture: a stream of weights, bound by memory bandwidth. All six products are one set of
// tasks.
#pragma once

#include "linear.inl"
#include "norms.inl"

namespace lsp {
namespace {

// Window i of an adaptive pool runs from floor(i * grid / size) to ceil((i + 1) * grid / size); windows overlap where
// size does not divide grid.
void adaptive_pool(lsp_engine& engine, float* destination, const float* features, int64_t grid, int64_t d,
                   int64_t size) {
    parallel_for(engine, size * size, 1, [=](int64_t begin, int64_t end, int) {
        for (int64_t i = begin; i < end; i++) {
            const int64_t y = i / size, x = i % size;
            const int64_t top = y * grid / size, bottom = ceil_div((y + 1) * grid, size);
            const int64_t left = x * grid / size, right = ceil_div((x + 1) * grid, size);
            const F32 area = set1(static_cast<float>((bottom - top) * (right - left)));
            for (int64_t c = 0; c < d; c += kWidth) {
                const int64_t lanes = d - c;
                F32 sum = zero();
                for (int64_t row = top; row < bottom; row++) {
                    for (int64_t column = left; column < right; column++) {
                        const float* at = features + (row * grid + column) * d + c;
                        sum = sum + (lanes >= kWidth ? load(at) : load_partial(at, lanes));
                    }
                }
                if (lanes >= kWidth) {
                    store(destination + i * d + c, sum / area);
                } else {
                    store_partial(destination + i * d + c, sum / area, lanes);
                }
            }
        }
    });
}

void spatial_tokens(lsp_engine& engine, float* destination, const SpatialTokens& p, bool int8_activations) {
    const int64_t map = p.grid * p.grid * p.d, stride = p.count * p.kernels[0]->rows;
    int64_t pooled_cells = 0;
    for (int i = 0; i < p.count; i++) pooled_cells += int64_t{p.sizes[i]} * p.sizes[i];
    float* pooled = nullptr;
    if (p.mode == LSP_POOLING) {
        pooled = static_cast<float*>(
            scratch(engine, Scratch::kFirst, static_cast<size_t>(p.tiles * pooled_cells * p.d) * sizeof(float)));
    }

    Job* jobs = static_cast<Job*>(scratch(engine, Scratch::kSecond, static_cast<size_t>(p.count) * sizeof(Job)));
    for (int i = 0; i < p.count; i++) {
        const int64_t size = p.sizes[i], k = size * size * p.d;
        Rows x;
        if (size == p.grid) {
            x = matrix_rows(p.features, p.tiles, map);
        } else if (p.mode == LSP_POOLING) {
            for (int64_t tile = 0; tile < p.tiles; tile++)
                adaptive_pool(engine, pooled + tile * k, p.features + tile * map, p.grid, p.d, size);
            x = matrix_rows(pooled, p.tiles, k);
            pooled += p.tiles * k;
        } else {
            const int64_t corner = (p.grid - size) / 2;
            x = {p.features + (corner * p.grid + corner) * p.d,
                 0,
                 p.tiles,
                 0,
                 p.tiles,
                 0,
                 map,
                 size * p.d,
                 p.grid * p.d};
        }
        jobs[i] =
            Job({x, p.tiles, p.kernels[i], destination + i * p.kernels[i]->rows, nullptr, LSP_NONE, nullptr, stride},
                int8_activations);
    }
    run_jobs(engine, jobs, p.count);
}

// NaN to zero, infinities to the largest finite values, as torch.nan_to_num.
inline float nan_to_num(float x) {
    if (x != x) return 0.0f;
    if (x > __FLT_MAX__) return __FLT_MAX__;
    return x < -__FLT_MAX__ ? -__FLT_MAX__ : x;
}

// LayerNorm to `normed`, then the linear layer with its bias.
void norm_linear(lsp_engine& engine, float* destination, float* normed, const float* source, int64_t rows,
                 const lsp_norm_linear& p, float epsilon, bool int8_activations) {
    const int64_t width = p.linear->columns;
    layer_norm(engine, normed, source, p.norm_weight, p.norm_bias, rows, width, epsilon);
    linear(engine,
           {matrix_rows(normed, rows, width), rows, p.linear, destination, p.bias, LSP_NONE, nullptr, p.linear->rows},
           int8_activations);
}

inline void copy_trace(float* destination, const float* source, int64_t count) {
    if (destination != nullptr) memcpy(destination, source, static_cast<size_t>(count) * sizeof(float));
}

void detail_fusion(lsp_engine& engine, float* destination, const DetailFusion& p, bool int8_activations) {
    const int64_t width = p.conv->rows, side = (p.grid - p.kernel) / p.stride + 1, positions = side * side;
    const int64_t count = p.tiles * p.count, cells = p.tiles * positions;  // tokens and positions of all tiles
    Carver measure{nullptr};
    float *tokens, *conv, *normed, *query, *key, *value, *logits;
    const auto take = [&](Carver& carver) {
        tokens = carver.take<float>(count * width);
        conv = carver.take<float>(cells * width);
        normed = carver.take<float>((count > cells ? count : cells) * width);
        query = carver.take<float>(count * width);
        key = carver.take<float>(cells * width);
        value = carver.take<float>(cells * width);
        logits = carver.take<float>(count * positions);
    };
    take(measure);
    Carver carver{static_cast<uint8_t*>(scratch(engine, Scratch::kFirst, measure.used))};
    take(carver);

    // conv_CM: row i of the left operand is the window of position i, `kernel` pieces of kernel * d numbers each.
    const Rows windows = {
        p.features,     0,           positions, p.grid * p.grid * p.d, side, p.stride * p.grid * p.d, p.stride * p.d,
        p.kernel * p.d, p.grid * p.d};
    linear(engine, {windows, cells, p.conv, conv, nullptr, LSP_NONE, nullptr, width}, int8_activations);
    for (int64_t i = 0; i < cells * width; i++) conv[i] = nan_to_num(conv[i]);
    for (int64_t i = 0; i < count * width; i++) tokens[i] = nan_to_num(p.tokens[i]);
    copy_trace(p.trace.conv, conv, cells * width);

    norm_linear(engine, query, normed, tokens, count, p.query, p.epsilon, int8_activations);
    norm_linear(engine, key, normed, conv, cells, p.key, p.epsilon, int8_activations);
    norm_linear(engine, value, normed, conv, cells, p.value, p.epsilon, int8_activations);
    copy_trace(p.trace.query, query, count * width);
    copy_trace(p.trace.key, key, cells * width);
    copy_trace(p.trace.value, value, cells * width);

    const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(width));
    parallel_for(engine, count, 1, [=](int64_t begin, int64_t end, int) {
        for (int64_t i = begin; i < end; i++) {
            float* row = logits + i * positions;
            const int64_t first = i / p.count * positions;  // of this tile
            float most = -__FLT_MAX__;
            for (int64_t j = 0; j < positions; j++) {
                F32 sum = zero();
                for (int64_t c = 0; c < width; c += kWidth) {
                    const int64_t lanes = width - c;
                    const float *a = query + i * width + c, *b = key + (first + j) * width + c;
                    sum = lanes >= kWidth ? fma(load(a), load(b), sum)
                                          : fma(load_partial(a, lanes), load_partial(b, lanes), sum);
                }
                row[j] = nan_to_num(reduce_add(sum) * scale);
                most = row[j] > most ? row[j] : most;
            }
            copy_trace(p.trace.logits == nullptr ? nullptr : p.trace.logits + i * positions, row, positions);
            F32 total = zero();
            for (int64_t j = 0; j < positions; j += kWidth) {
                const int64_t lanes = least(kWidth, positions - j);
                store_partial(row + j, exp(load_partial(row + j, lanes) - set1(most)), lanes);
                total = total + load_partial(row + j, lanes);
            }
            const float sum = reduce_add(total);
            for (int64_t j = 0; j < positions; j++) row[j] /= sum;
            copy_trace(p.trace.probs == nullptr ? nullptr : p.trace.probs + i * positions, row, positions);

            float* out = destination + i * 2 * width;
            memcpy(out, tokens + i * width, static_cast<size_t>(width) * sizeof(float));
            for (int64_t c = 0; c < width; c += kWidth) {
                const int64_t lanes = least(kWidth, width - c);
                F32 sum_of_values = zero();
                for (int64_t j = 0; j < positions; j++) {
                    sum_of_values =
                        fma(set1(row[j]), load_partial(value + (first + j) * width + c, lanes), sum_of_values);
                }
                store_partial(out + width + c, sum_of_values, lanes);
            }
            copy_trace(p.trace.out == nullptr ? nullptr : p.trace.out + i * width, out + width, width);
        }
    });
}

}  // namespace
}  // namespace lsp
