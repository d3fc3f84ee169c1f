// Weights and double-precision products for tests.
#pragma once

#include <algorithm>
#include <cstdint>

#include "support.h"

using Weight = std::unique_ptr<lsp_weight, void (*)(lsp_weight*)>;

struct Format {
    const char* name;
    int32_t format;
    int32_t group;
};

constexpr Format kFormats[] = {
    {"f32", LSP_F32, 0},       {"f16", LSP_F16, 0},       {"bf16", LSP_BF16, 0},
    {"int8_32", LSP_INT8, 32}, {"int8_64", LSP_INT8, 64}, {"int8_128", LSP_INT8, 128},
    {"int4_32", LSP_INT4, 32}, {"int4_64", LSP_INT4, 64}, {"int4_128", LSP_INT4, 128},
};

// A matrix of the format with random contents; integers cover their whole range, scales are exact halves.
inline Weight random_weight(int64_t rows, int64_t columns, const Format& format, unsigned seed) {
    lsp_weight* made = nullptr;
    EXPECT_EQ(LSP_OK, lsp_weight_create(rows, columns, format.format, format.group, &made));
    Weight weight(made, lsp_weight_destroy);
    if (format.group == 0) {
        const auto values = random_floats(static_cast<size_t>(rows * columns), seed, 0.5f);
        EXPECT_EQ(LSP_OK, lsp_weight_write_f32(made, 0, rows, values.data()));
        return weight;
    }
    std::mt19937 generator(seed);
    const bool wide = format.format == LSP_INT8;
    std::uniform_int_distribution<int> q(wide ? -127 : -8, wide ? 127 : 7), s(1, 64);
    const int64_t groups = (columns + format.group - 1) / format.group;
    std::vector<int8_t> values(static_cast<size_t>(rows * columns));
    std::vector<float> scales(static_cast<size_t>(rows * groups));
    for (int8_t& value : values) value = static_cast<int8_t>(q(generator));
    for (float& scale : scales) scale = static_cast<float>(s(generator)) / (wide ? 4096.0f : 256.0f);
    EXPECT_EQ(LSP_OK, lsp_weight_write_integers(made, 0, rows, values.data(), scales.data()));
    return weight;
}

inline std::vector<float> dequantized(const lsp_weight* weight, int64_t rows, int64_t columns) {
    std::vector<float> values(static_cast<size_t>(rows * columns));
    EXPECT_EQ(LSP_OK, lsp_weight_read_rows(weight, 0, rows, values.data()));
    return values;
}

// A group as multiples of its largest magnitude / 127; returns that magnitude.
inline float rounded_group(float* values, int64_t count) {
    float most = 0;
    for (int64_t i = 0; i < count; i++) most = std::max(most, std::abs(values[i]));
    for (int64_t i = 0; i < count; i++)
        values[i] = most == 0 ? 0 : std::nearbyint(values[i] * (127.0f / most)) * (most / 127.0f);
    return most;
}

// x as int8 products see it: symmetric per row and group, and what that leaves once more where the largest magnitude is
// over 16 times the mean of the others.
inline std::vector<float> quantized_rows(std::vector<float> x, int64_t columns, int group) {
    for (size_t row = 0; row < x.size(); row += static_cast<size_t>(columns)) {
        for (int64_t first = 0; first < columns; first += group) {
            const int64_t count = std::min<int64_t>(group, columns - first);
            float* values = x.data() + row + first;
            std::vector<float> rest(values, values + count);
            float others = 0;
            for (const float value : rest) others += std::abs(value);
            const float most = rounded_group(values, count);
            others -= most;
            if (others <= 0 || most * static_cast<float>(count - 1) <= 16 * others) continue;
            for (int64_t i = 0; i < count; i++) rest[i] -= values[i];
            rounded_group(rest.data(), count);
            for (int64_t i = 0; i < count; i++) values[i] += rest[i];
        }
    }
    return x;
}

inline double activation_of(double x, int activation) {
    switch (activation) {
        case LSP_GELU:
            return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
        case LSP_QUICK_GELU:
            return x / (1 + std::exp(-1.702 * x));
        default:
            return x;
    }
}

// activation(x w^T + bias) + residual in double precision; bias and residual may be empty.
inline std::vector<double> product(const std::vector<float>& x, const std::vector<float>& w, int64_t m, int64_t n,
                                   int64_t k, const std::vector<float>& bias, int activation,
                                   const std::vector<float>& residual) {
    std::vector<double> y(static_cast<size_t>(m * n));
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            double sum = bias.empty() ? 0 : bias[j];
            for (int64_t c = 0; c < k; c++) sum += double{x[i * k + c]} * w[j * k + c];
            y[i * n + j] = activation_of(sum, activation) + (residual.empty() ? 0 : residual[i * n + j]);
        }
    }
    return y;
}
