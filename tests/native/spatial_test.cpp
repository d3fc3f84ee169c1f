#include "matrix_support.h"

namespace {

// Features [size * size, d] that kernel `size` sees.
std::vector<float> window_of(const std::vector<float>& features, int64_t grid, int64_t d, int64_t size, int mode) {
    std::vector<float> result(static_cast<size_t>(size * size * d));
    for (int64_t y = 0; y < size; y++) {
        for (int64_t x = 0; x < size; x++) {
            for (int64_t c = 0; c < d; c++) {
                double sum = 0;
                int64_t area = 0;
                if (mode == LSP_CROPPING) {
                    const int64_t corner = (grid - size) / 2;
                    sum = features[((corner + y) * grid + corner + x) * d + c];
                    area = 1;
                } else {
                    for (int64_t row = y * grid / size; row < ((y + 1) * grid + size - 1) / size; row++) {
                        for (int64_t column = x * grid / size; column < ((x + 1) * grid + size - 1) / size;
                             column++, area++) {
                            sum += features[(row * grid + column) * d + c];
                        }
                    }
                }
                result[(y * size + x) * d + c] = static_cast<float>(sum / static_cast<double>(area));
            }
        }
    }
    return result;
}

}  // namespace

using SpatialTest = EveryIsa;

TEST_P(SpatialTest, TokensMatchDoublePrecision) {
    Engine engine = make_engine(GetParam(), 2);
    const int64_t width = 37;
    for (const int64_t d : {5, 32, 100}) {
        for (const int64_t grid : {7, 24}) {
            const int64_t tiles = d == 32 ? 3 : 1, map = grid * grid * d;
            const auto features = random_floats(static_cast<size_t>(tiles * map), 1);
            const std::vector<int32_t> sizes =
                grid == 7 ? std::vector<int32_t>{1, 2, 4, 7} : std::vector<int32_t>{4, 16, 20, 24};
            const int64_t count = static_cast<int64_t>(sizes.size());
            for (const int mode : {LSP_POOLING, LSP_CROPPING}) {
                for (const Format& format : {kFormats[0], kFormats[1], kFormats[4], kFormats[7]}) {
                    std::vector<Weight> weights;
                    std::vector<const lsp_weight*> kernels;
                    std::vector<double> expected(static_cast<size_t>(tiles * count * width));
                    for (int64_t i = 0; i < count; i++) {
                        const int64_t size = sizes[i], k = size * size * d;
                        weights.push_back(random_weight(width, k, format, static_cast<unsigned>(size)));
                        kernels.push_back(weights.back().get());
                        const auto w = dequantized(kernels.back(), width, k);
                        for (int64_t tile = 0; tile < tiles; tile++) {
                            auto x = window_of({features.begin() + tile * map, features.begin() + (tile + 1) * map},
                                               grid, d, size, mode);
                            if (format.group != 0) x = quantized_rows(x, k, format.group);
                            const auto token = product(x, w, 1, width, k, {}, LSP_NONE, {});
                            std::copy(token.begin(), token.end(), expected.begin() + (tile * count + i) * width);
                        }
                    }
                    std::vector<float> y(expected.size());
                    ASSERT_EQ(LSP_OK, lsp_spatial_tokens(engine.get(), y.data(), features.data(), tiles, grid, d, mode,
                                                         static_cast<int32_t>(count), sizes.data(), kernels.data(), 1));
                    // A pooled mean that rounds the other way moves one int8 activation by a step.
                    expect_near(expected, y, format.group != 0 && mode == LSP_POOLING ? 0.05 : 3e-3,
                                std::string(format.name) + " d " + std::to_string(d));
                }
            }
        }
    }
}

TEST_P(SpatialTest, PoolMatchesDoublePrecision) {
    Engine engine = make_engine(GetParam(), 2);
    const int64_t grid = 24, d = 19;
    const auto features = random_floats(static_cast<size_t>(grid * grid * d), 2);
    for (const int64_t size : {1, 4, 7, 16, 20, 24}) {
        const auto expected = window_of(features, grid, d, size, LSP_POOLING);
        std::vector<float> y(expected.size());
        ASSERT_EQ(LSP_OK, lsp_adaptive_pool(engine.get(), y.data(), features.data(), grid, d, size));
        expect_near({expected.begin(), expected.end()}, y, 1e-5, "pool");
    }
}

TEST_P(SpatialTest, PatchEmbeddingMatchesDoublePrecision) {
    Engine engine = make_engine(GetParam(), 2);
    const int64_t tiles = 2, size = 30, patch = 6, d = 37, grid = size / patch, n = grid * grid, k = 3 * patch * patch;
    std::mt19937 generator(3);
    std::vector<uint8_t> pixels(static_cast<size_t>(tiles * 3 * size * size));
    for (uint8_t& pixel : pixels) pixel = static_cast<uint8_t>(generator());
    const auto lookup = random_floats(768, 4), class_token = random_floats(d, 5),
               positions = random_floats((n + 1) * d, 6);
    const auto norm_weight = random_floats(d, 7), norm_bias = random_floats(d, 8);
    for (const Format& format : {kFormats[0], kFormats[2], kFormats[6]}) {
        const Weight weight = random_weight(d, k, format, 9);
        const auto w = dequantized(weight.get(), d, k);
        std::vector<double> expected;
        for (int64_t tile = 0; tile < tiles; tile++) {
            std::vector<float> x;
            for (int64_t i = 0; i < n; i++) {
                for (int64_t c = 0; c < 3; c++) {
                    for (int64_t py = 0; py < patch; py++) {
                        for (int64_t px = 0; px < patch; px++) {
                            const int64_t row = i / grid * patch + py, column = i % grid * patch + px;
                            x.push_back(lookup[c * 256 + pixels[((tile * 3 + c) * size + row) * size + column]]);
                        }
                    }
                }
            }
            if (format.group != 0) x = quantized_rows(x, k, format.group);
            auto rows = product(x, w, n, d, k, {}, LSP_NONE, {});
            rows.insert(rows.begin(), class_token.begin(), class_token.end());
            for (int64_t i = 0; i <= n; i++) {
                double mean = 0, variance = 0;
                for (int64_t c = 0; c < d; c++) mean += rows[i * d + c] += positions[i * d + c];
                mean /= d;
                for (int64_t c = 0; c < d; c++) variance += (rows[i * d + c] - mean) * (rows[i * d + c] - mean);
                for (int64_t c = 0; c < d; c++) {
                    expected.push_back((rows[i * d + c] - mean) / std::sqrt(variance / d + 1e-5) * norm_weight[c] +
                                       norm_bias[c]);
                }
            }
        }
        std::vector<float> y(expected.size());
        ASSERT_EQ(LSP_OK, lsp_patch_embedding(engine.get(), y.data(), pixels.data(), lookup.data(), tiles, size, patch,
                                              weight.get(), class_token.data(), positions.data(), norm_weight.data(),
                                              norm_bias.data(), 1e-5f, 1));
        expect_near(expected, y, 3e-5, format.name);
    }
}

TEST_P(SpatialTest, RefusesWhatDoesNotFit) {
    Engine engine = make_engine(GetParam(), 1);
    const Weight weight = random_weight(8, 4 * 4 * 3, kFormats[0], 1);
    const lsp_weight* kernels[] = {weight.get()};
    std::vector<float> features(6 * 6 * 3), y(8);
    const int32_t four = 4, two = 2, eight = 8;
    EXPECT_EQ(LSP_OK,
              lsp_spatial_tokens(engine.get(), y.data(), features.data(), 1, 6, 3, LSP_CROPPING, 1, &four, kernels, 0));
    EXPECT_EQ(LSP_INVALID_ARGUMENT,
              lsp_spatial_tokens(engine.get(), y.data(), features.data(), 1, 6, 3, LSP_CROPPING, 1, &two, kernels, 0));
    EXPECT_EQ(LSP_INVALID_ARGUMENT, lsp_spatial_tokens(engine.get(), y.data(), features.data(), 1, 6, 3, LSP_CROPPING,
                                                       1, &eight, kernels, 0));
    EXPECT_EQ(LSP_INVALID_ARGUMENT,
              lsp_spatial_tokens(engine.get(), y.data(), features.data(), 1, 6, 3, 5, 1, &four, kernels, 0));
    EXPECT_EQ(LSP_INVALID_ARGUMENT,
              lsp_spatial_tokens(engine.get(), y.data(), features.data(), 1, 6, 4, LSP_CROPPING, 1, &four, kernels, 0));
}

TEST_P(SpatialTest, GatherCopiesRows) {
    Engine engine = make_engine(GetParam(), 2);
    const auto source = random_floats(5 * 7, 1);
    const int32_t ids[] = {4, 0, 4, 2}, wrong[] = {0, 5};
    std::vector<float> y(4 * 7);
    ASSERT_EQ(LSP_OK, lsp_gather(engine.get(), y.data(), source.data(), 5, 7, ids, 4));
    for (int i = 0; i < 28; i++) EXPECT_EQ(source[ids[i / 7] * 7 + i % 7], y[i]);
    EXPECT_EQ(LSP_INVALID_ARGUMENT, lsp_gather(engine.get(), y.data(), source.data(), 5, 7, wrong, 2));
}

FOR_EVERY_ISA(SpatialTest);
