#include "support.h"

using ActivationTest = EveryIsa;

namespace {

// |actual - expected| <= tolerance * |expected|, or nothing left of it in float32.
void expect_relative(const std::vector<double>& expected, const std::vector<float>& actual, double tolerance,
                     const std::vector<float>& x) {
    for (size_t i = 0; i < expected.size(); i++) {
        ASSERT_TRUE(std::abs(expected[i] - actual[i]) <= tolerance * std::abs(expected[i]) + 1e-36)
            << "at " << x[i] << ": expected " << expected[i] << ", got " << actual[i];
    }
}

}  // namespace

TEST_P(ActivationTest, MatchesDoublePrecision) {
    Engine engine = make_engine(GetParam(), 2);
    std::vector<float> x;
    for (float value = -40; value <= 120; value += 0.00713f) x.push_back(value);
    for (const float value : {0.0f, -0.0f, 1e-30f, -1e-30f, -1e30f, -120.0f}) x.push_back(value);
    std::vector<double> gelu, quick;
    for (const double value : x) {
        gelu.push_back(0.5 * value * std::erfc(-value / std::sqrt(2.0)));
        quick.push_back(value / (1 + std::exp(-1.702 * value)));
    }
    std::vector<float> y(x.size());
    const int64_t count = static_cast<int64_t>(x.size());
    ASSERT_EQ(LSP_OK, lsp_activate(engine.get(), y.data(), x.data(), count, LSP_NONE));
    EXPECT_EQ(x, y);
    // Without fused multiply-add the square in the exponent keeps its rounding error: up to 2^-24 of 84.
    const bool fused = GetParam() != "scalar";
    ASSERT_EQ(LSP_OK, lsp_activate(engine.get(), y.data(), x.data(), count, LSP_GELU));
    expect_relative(gelu, y, fused ? 5e-7 : 6e-6, x);
    // The product 1.702 x is rounded before the exponential: 2^-24 of 68 below x = -40.
    ASSERT_EQ(LSP_OK, lsp_activate(engine.get(), y.data(), x.data(), count, LSP_QUICK_GELU));
    expect_relative(quick, y, 6e-6, x);
}

TEST_P(ActivationTest, KeepsNaN) {
    Engine engine = make_engine(GetParam(), 1);
    for (const int activation : {LSP_NONE, LSP_GELU, LSP_QUICK_GELU}) {
        for (size_t at = 0; at < 37; at++) {
            std::vector<float> x(37, 1.0f), y(37);
            x[at] = std::nanf("");
            ASSERT_EQ(LSP_OK, lsp_activate(engine.get(), y.data(), x.data(), 37, activation));
            for (size_t i = 0; i < x.size(); i++) EXPECT_EQ(i == at, std::isnan(y[i]));
        }
    }
}

TEST_P(ActivationTest, DoesNotDependOnThreads) {
    const auto x = random_floats(100003, 1, 3.0f);
    for (const int activation : {LSP_GELU, LSP_QUICK_GELU}) {
        std::vector<float> alone(x.size()), together(x.size());
        ASSERT_EQ(LSP_OK, lsp_activate(make_engine(GetParam(), 1).get(), alone.data(), x.data(), 100003, activation));
        for (const int threads : {2, 5}) {
            ASSERT_EQ(LSP_OK, lsp_activate(make_engine(GetParam(), threads).get(), together.data(), x.data(), 100003,
                                           activation));
            EXPECT_EQ(alone, together) << threads;
        }
    }
}

FOR_EVERY_ISA(ActivationTest);
