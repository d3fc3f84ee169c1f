#include "support.h"

using ActivationTest = EveryIsa;

TEST_P(ActivationTest, MatchesDoublePrecision) {
    Engine engine = make_engine(GetParam(), 2);
    std::vector<float> x;
    for (float value = -120; value <= 120; value += 0.0371f) x.push_back(value);
    for (const float value : {0.0f, -0.0f, 1e-30f, -1e-30f, 3e38f}) x.push_back(value);
    std::vector<double> gelu, quick;
    for (const double value : x) {
        gelu.push_back(0.5 * value * std::erfc(-value / std::sqrt(2.0)));
        quick.push_back(value / (1 + std::exp(-1.702 * value)));
    }
    std::vector<float> y(x.size());
    ASSERT_EQ(LSP_OK, lsp_activate(engine.get(), y.data(), x.data(), static_cast<int64_t>(x.size()), LSP_NONE));
    EXPECT_EQ(x, y);
    x.pop_back(), gelu.pop_back(), quick.pop_back(), y.pop_back();
    ASSERT_EQ(LSP_OK, lsp_activate(engine.get(), y.data(), x.data(), static_cast<int64_t>(x.size()), LSP_GELU));
    expect_near(gelu, y, 8e-6, "gelu");
    ASSERT_EQ(LSP_OK, lsp_activate(engine.get(), y.data(), x.data(), static_cast<int64_t>(x.size()), LSP_QUICK_GELU));
    expect_near(quick, y, 8e-6, "quick_gelu");
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

FOR_EVERY_ISA(ActivationTest);
