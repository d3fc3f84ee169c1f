// LayerNorm and RMSNorm. Sums run in float32 in 4 * kWidth accumulators; where that would cost digits (a mean far from
// zero) or overflow, the formula makes up for it.
#pragma once

#include "parallel.inl"

namespace lsp {
namespace {

constexpr float kLargestFloat = 3.402823466e38f;

// Sums of x - shift and of its square.
struct Sums {
    float first;
    float second;
};

inline Sums sum_row(const float* x, int64_t n, float shift) {
    F32 first[4], second[4];
    for (int i = 0; i < 4; i++) first[i] = second[i] = zero();
    const F32 minus = set1(shift);
    int64_t c = 0;
    for (; c + 4 * kWidth <= n; c += 4 * kWidth) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            const F32 d = load(x + c + i * kWidth) - minus;
            first[i] = first[i] + d;
            second[i] = fma(d, d, second[i]);
        }
    }
    for (; c + kWidth <= n; c += kWidth) {
        const F32 d = load(x + c) - minus;
        first[0] = first[0] + d;
        second[0] = fma(d, d, second[0]);
    }
    Sums sums = {reduce_add((first[0] + first[1]) + (first[2] + first[3])),
                 reduce_add((second[0] + second[1]) + (second[2] + second[3]))};
    for (; c < n; c++) {
        const float d = x[c] - shift;
        sums.first += d;
        sums.second += d * d;
    }
    return sums;
}

// The largest rows overflow float32 squares: in double then, slowly. Also met by NaN, which stays.
inline double sum_of_squares(const float* x, int64_t n, double shift) {
    double sum = 0;
    for (int64_t c = 0; c < n; c++) sum += (x[c] - shift) * (x[c] - shift);
    return sum;
}

// y = (x - mean - rest) * inverse * weight + bias; bias may be null.
inline void scale_row(float* y, const float* x, int64_t n, float mean, float rest, float inverse, const float* weight,
                      const float* bias) {
    const F32 m = set1(mean), r = set1(rest), s = set1(inverse);
    int64_t c = 0;
    for (; c + kWidth <= n; c += kWidth)
        store(y + c, fma((load(x + c) - m - r) * s, load(weight + c), bias ? load(bias + c) : zero()));
    if (c < n) {
        const int64_t left = n - c;
        const F32 offset = bias ? load_partial(bias + c, left) : zero();
        store_partial(y + c, fma((load_partial(x + c, left) - m - r) * s, load_partial(weight + c, left), offset),
                      left);
    }
}

inline void layer_norm_row(float* y, const float* x, const float* weight, const float* bias, int64_t n, float epsilon) {
    // The mean in float32 is a little off; the sum of what is left says by how much.
    const double count = static_cast<double>(n);
    float mean = static_cast<float>(sum_row(x, n, 0).first / count);
    const Sums sums = sum_row(x, n, mean);
    double rest = sums.first / count;
    double variance = sums.second / count - rest * rest;
    if (variance < 0) variance = 0;
    if (!(sums.second <= kLargestFloat)) {
        double exact = 0;
        for (int64_t c = 0; c < n; c++) exact += x[c];
        exact /= count;
        mean = static_cast<float>(exact);
        rest = exact - mean;
        variance = sum_of_squares(x, n, exact) / count;
    }
    scale_row(y, x, n, mean, static_cast<float>(rest), static_cast<float>(1 / __builtin_sqrt(variance + epsilon)),
              weight, bias);
}

inline void rms_norm_row(float* y, const float* x, const float* weight, int64_t n, float epsilon) {
    double squares = sum_row(x, n, 0).second;
    if (!(squares <= kLargestFloat)) squares = sum_of_squares(x, n, 0);
    const double inverse = 1 / __builtin_sqrt(squares / static_cast<double>(n) + epsilon);
    scale_row(y, x, n, 0, 0, static_cast<float>(inverse), weight, nullptr);
}

// destination may be source.
void layer_norm(lsp_engine& engine, float* destination, const float* source, const float* weight, const float* bias,
                int64_t rows, int64_t columns, float epsilon) {
    parallel_for(engine, rows, 4096 / columns + 1, [=](int64_t begin, int64_t end, int) {
        for (int64_t r = begin; r < end; r++)
            layer_norm_row(destination + r * columns, source + r * columns, weight, bias, columns, epsilon);
    });
}

// destination may be source.
void rms_norm(lsp_engine& engine, float* destination, const float* source, const float* weight, int64_t rows,
              int64_t columns, float epsilon) {
    parallel_for(engine, rows, 4096 / columns + 1, [=](int64_t begin, int64_t end, int) {
        for (int64_t r = begin; r < end; r++)
            rms_norm_row(destination + r * columns, source + r * columns, weight, columns, epsilon);
    });
}

}  // namespace
}  // namespace lsp
