#include <cstring>

#include "matrix_support.h"

namespace {

struct Shape {
    int64_t m, n, k;
};

constexpr Shape kShapes[] = {{1, 1, 1},    {1, 33, 127},  {2, 31, 64},  {3, 32, 3},     {4, 5, 66},    {5, 65, 130},
                             {6, 47, 255}, {7, 96, 257},  {8, 3, 512},  {9, 40, 300},   {10, 34, 100}, {11, 33, 68},
                             {12, 64, 96}, {13, 33, 129}, {17, 70, 77}, {25, 32, 1030}, {64, 37, 200}, {131, 65, 97}};

std::string text(const Shape& s, const Format& f, bool int8) {
    return std::string(f.name) + (int8 ? " int8 x" : " float x") + " m " + std::to_string(s.m) + " n " +
           std::to_string(s.n) + " k " + std::to_string(s.k);
}

}  // namespace

using LinearTest = EveryIsa;

TEST_P(LinearTest, MatchesDoublePrecision) {
    Engine engine = make_engine(GetParam(), 2);
    unsigned seed = 0;
    for (const Format& format : kFormats) {
        for (const Shape& s : kShapes) {
            for (const bool int8 : {false, true}) {
                if (int8 && format.group == 0) continue;
                seed++;
                const Weight weight = random_weight(s.n, s.k, format, seed);
                const auto w = dequantized(weight.get(), s.n, s.k);
                const auto x = random_floats(static_cast<size_t>(s.m * s.k), seed + 1000);
                const int activation = static_cast<int>(seed % 3);
                const auto bias =
                    seed % 2 == 0 ? std::vector<float>() : random_floats(static_cast<size_t>(s.n), seed + 2000);
                const auto residual =
                    seed % 5 == 0 ? std::vector<float>() : random_floats(static_cast<size_t>(s.m * s.n), seed + 3000);
                const auto expected = product(int8 ? quantized_rows(x, s.k, format.group) : x, w, s.m, s.n, s.k, bias,
                                              activation, residual);
                // The residual may be the destination itself.
                std::vector<float> y = residual.empty() ? std::vector<float>(static_cast<size_t>(s.m * s.n)) : residual;
                ASSERT_EQ(LSP_OK, lsp_linear(engine.get(), y.data(), x.data(), s.m, weight.get(),
                                             bias.empty() ? nullptr : bias.data(), activation,
                                             residual.empty() ? nullptr : y.data(), int8));
                expect_near(expected, y, 2e-5 * std::sqrt(static_cast<double>(s.k)), text(s, format, int8));
            }
        }
    }
}

TEST_P(LinearTest, SplitsLongRowsTheSameWayForAnyNumberOfThreads) {
    for (const Format& format : {kFormats[0], kFormats[1], kFormats[4], kFormats[7]}) {
        for (const int64_t m : {1, 3}) {
            const int64_t n = 40, k = 33000 + 37;
            const Weight weight = random_weight(n, k, format, 5);
            const auto x = random_floats(static_cast<size_t>(m * k), 6);
            const auto w = dequantized(weight.get(), n, k);
            const auto expected =
                product(format.group ? quantized_rows(x, k, format.group) : x, w, m, n, k, {}, LSP_NONE, {});
            std::vector<float> first;
            for (const int threads : {1, 2, 5}) {
                Engine engine = make_engine(GetParam(), threads);
                std::vector<float> y(static_cast<size_t>(m * n));
                ASSERT_EQ(LSP_OK,
                          lsp_linear(engine.get(), y.data(), x.data(), m, weight.get(), nullptr, LSP_NONE, nullptr, 1));
                expect_near(expected, y, 2e-3, format.name);
                if (first.empty()) first = y;
                EXPECT_EQ(first, y) << format.name << ", " << threads << " threads";
            }
        }
    }
}

TEST_P(LinearTest, IsBitwiseEqualForAnyNumberOfThreads) {
    for (const Format& format : kFormats) {
        const int64_t m = 50, n = 200, k = 300;
        const Weight weight = random_weight(n, k, format, 7);
        const auto x = random_floats(static_cast<size_t>(m * k), 8);
        std::vector<float> first;
        for (const int threads : {1, 2, 3, 16}) {
            Engine engine = make_engine(GetParam(), threads);
            std::vector<float> y(static_cast<size_t>(m * n));
            for (int repeat = 0; repeat < 3; repeat++) {
                ASSERT_EQ(LSP_OK,
                          lsp_linear(engine.get(), y.data(), x.data(), m, weight.get(), nullptr, LSP_GELU, nullptr, 1));
                if (first.empty()) first = y;
                ASSERT_EQ(first, y) << format.name << ", " << threads << " threads";
            }
        }
    }
}

TEST_P(LinearTest, CutsManyRowsIntoBlocks) {
    Engine engine = make_engine(GetParam(), 2);
    for (const Format& format : {kFormats[0], kFormats[2], kFormats[5]}) {
        const int64_t m = 2500, n = 35, k = 20;
        const Weight weight = random_weight(n, k, format, 9);
        const auto x = random_floats(static_cast<size_t>(m * k), 10);
        const auto residual = random_floats(static_cast<size_t>(m * n), 11);
        const auto expected = product(format.group ? quantized_rows(x, k, format.group) : x,
                                      dequantized(weight.get(), n, k), m, n, k, {}, LSP_NONE, residual);
        std::vector<float> y = residual;
        ASSERT_EQ(LSP_OK,
                  lsp_linear(engine.get(), y.data(), x.data(), m, weight.get(), nullptr, LSP_NONE, y.data(), 1));
        expect_near(expected, y, 1e-4, format.name);
    }
}

TEST_P(LinearTest, KeepsNaNAndDoesNotSpreadIt) {
    Engine engine = make_engine(GetParam(), 2);
    const int64_t m = 14, n = 40, k = 100;
    for (const Format& format : kFormats) {
        const Weight weight = random_weight(n, k, format, 12);
        for (const int64_t row : {0, 5, 13}) {
            for (const int64_t column : {0, 63, 99}) {
                for (const int int8 : {0, 1}) {
                    auto x = random_floats(static_cast<size_t>(m * k), 13);
                    x[row * k + column] = std::nanf("");
                    std::vector<float> y(static_cast<size_t>(m * n));
                    ASSERT_EQ(LSP_OK, lsp_linear(engine.get(), y.data(), x.data(), m, weight.get(), nullptr, LSP_NONE,
                                                 nullptr, int8));
                    for (int64_t i = 0; i < m * n; i++)
                        ASSERT_EQ(i / n == row, std::isnan(y[i])) << format.name << " row " << i / n;
                }
            }
        }
    }
}

// Largest values of every kind: nothing may saturate in 16 bits.
TEST_P(LinearTest, SurvivesExtremeIntegers) {
    Engine engine = make_engine(GetParam(), 1);
    for (const Format& format : kFormats) {
        if (format.group == 0) continue;
        for (const int low : {0, 1}) {
            const int64_t m = 3, n = 33, k = 256;
            lsp_weight* made = nullptr;
            ASSERT_EQ(LSP_OK, lsp_weight_create(n, k, format.format, format.group, &made));
            const Weight weight(made, lsp_weight_destroy);
            const bool wide = format.format == LSP_INT8;
            const int8_t extreme = static_cast<int8_t>(low ? (wide ? -127 : -8) : (wide ? 127 : 7));
            const std::vector<int8_t> values(static_cast<size_t>(n * k), extreme);
            const std::vector<float> scales(static_cast<size_t>(n * k / format.group), 1.0f);
            ASSERT_EQ(LSP_OK, lsp_weight_write_integers(made, 0, n, values.data(), scales.data()));
            for (const float sign : {1.0f, -1.0f}) {
                const std::vector<float> x(static_cast<size_t>(m * k), 127.0f * sign);
                std::vector<float> y(static_cast<size_t>(m * n));
                ASSERT_EQ(LSP_OK, lsp_linear(engine.get(), y.data(), x.data(), m, made, nullptr, LSP_NONE, nullptr, 1));
                for (const float value : y)
                    ASSERT_EQ(127.0f * sign * static_cast<float>(extreme) * static_cast<float>(k), value)
                        << format.name;
            }
        }
    }
}

// One element of a hundred times the others' size in every group of some rows, as CLIP and Llama have them: with one
// scale for the group, the others would be rounded to a few steps, an error of 30 %.
TEST_P(LinearTest, KeepsWhatStandsBesideAnOutlier) {
    Engine engine = make_engine(GetParam(), 2);
    for (const Format& format : kFormats) {
        if (format.group == 0) continue;
        for (const int64_t m : {1, 2, 7, 12, 31}) {
            const int64_t n = 70, k = 1030;
            const Weight weight = random_weight(n, k, format, 14);
            const auto w = dequantized(weight.get(), n, k);
            const auto calm = random_floats(static_cast<size_t>(m * k), 15);
            auto x = calm;
            for (int64_t row = 0; row < m; row += 3) {
                for (int64_t c = row % 32; c < k; c += format.group) x[row * k + c] = c % 2 == 0 ? 100.0f : -100.0f;
            }
            const auto run = [&](const std::vector<float>& source) {
                std::vector<float> y(static_cast<size_t>(m * n));
                EXPECT_EQ(LSP_OK, lsp_linear(engine.get(), y.data(), source.data(), m, weight.get(), nullptr, LSP_NONE,
                                             nullptr, 1));
                return y;
            };
            const auto y = run(x), undisturbed = run(calm);
            const auto expected = product(x, w, m, n, k, {}, LSP_NONE, {});
            const auto others = product(calm, w, m, n, k, {}, LSP_NONE, {});
            for (int64_t row = 0; row < m; row++) {
                double error = 0, size = 0;
                for (int64_t j = row * n; j < (row + 1) * n; j++) {
                    error += (y[j] - expected[j]) * (y[j] - expected[j]);
                    size += others[j] * others[j];
                    if (row % 3 == 0) continue;
                    ASSERT_EQ(undisturbed[j], y[j]) << format.name << ", row " << row;
                }
                ASSERT_LE(std::sqrt(error), 0.02 * std::sqrt(size)) << format.name << ", m " << m << ", row " << row;
            }
        }
    }
}

TEST_P(LinearTest, RefusesWhatDoesNotFit) {
    Engine engine = make_engine(GetParam(), 1);
    const Weight weight = random_weight(4, 4, kFormats[0], 1);
    float x[4] = {}, y[4];
    EXPECT_EQ(LSP_INVALID_ARGUMENT, lsp_linear(nullptr, y, x, 1, weight.get(), nullptr, LSP_NONE, nullptr, 0));
    EXPECT_EQ(LSP_INVALID_ARGUMENT, lsp_linear(engine.get(), y, x, 1, nullptr, nullptr, LSP_NONE, nullptr, 0));
    EXPECT_EQ(LSP_INVALID_ARGUMENT, lsp_linear(engine.get(), y, x, -1, weight.get(), nullptr, LSP_NONE, nullptr, 0));
    EXPECT_EQ(LSP_INVALID_ARGUMENT, lsp_linear(engine.get(), y, x, 1, weight.get(), nullptr, 7, nullptr, 0));
    EXPECT_EQ(LSP_OK, lsp_linear(engine.get(), y, x, 0, weight.get(), nullptr, LSP_NONE, nullptr, 0));
}

FOR_EVERY_ISA(LinearTest);

#if defined(__x86_64__)
// Sums of a group are integers, whatever multiplies them.
TEST(LinearMatrixTilesTest, GiveTheSameBitsAsRegisterTiles) {
    const auto isas = available_isas();
    if (std::find(isas.begin(), isas.end(), "amx") == isas.end()) GTEST_SKIP() << "this processor has no AMX";
    Engine matrix = make_engine("amx", 2), registers = make_engine("avx512vnni", 2);
    for (const Format& format : kFormats) {
        if (format.group == 0) continue;
        for (const Shape& s : {Shape{5, 33, 64}, Shape{16, 70, 1024}, Shape{17, 64, 1044}, Shape{100, 96, 2100}}) {
            const Weight weight = random_weight(s.n, s.k, format, 21);
            auto x = random_floats(static_cast<size_t>(s.m * s.k), 22);
            for (int64_t i = 7; i < s.m * s.k; i += 1009) x[i] = 200.0f;
            std::vector<float> y[2];
            for (int i = 0; i < 2; i++) {
                y[i].resize(static_cast<size_t>(s.m * s.n));
                ASSERT_EQ(LSP_OK, lsp_linear((i == 0 ? matrix : registers).get(), y[i].data(), x.data(), s.m,
                                             weight.get(), nullptr, LSP_NONE, nullptr, 1));
            }
            ASSERT_EQ(0, memcmp(y[0].data(), y[1].data(), y[0].size() * sizeof(float))) << text(s, format, true);
        }
    }
}
#endif
