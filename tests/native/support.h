// What the native tests share.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "llavasp_cpu.h"

inline std::vector<std::string> available_isas() {
    std::vector<std::string> names;
    for (int32_t i = 0; lsp_isa_available(i) != nullptr; i++) names.push_back(lsp_isa_available(i));
    return names;
}

using Engine = std::unique_ptr<lsp_engine, void (*)(lsp_engine*)>;

inline Engine make_engine(const std::string& isa, int threads) {
    lsp_engine* engine = nullptr;
    EXPECT_EQ(LSP_OK, lsp_engine_create(isa.c_str(), threads, &engine));
    return {engine, lsp_engine_destroy};
}

inline std::vector<float> random_floats(size_t count, unsigned seed, float scale = 1.0f) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal(0.0f, scale);
    std::vector<float> values(count);
    for (float& value : values) value = normal(generator);
    return values;
}

// Fails on NaN too.
inline void expect_near(const std::vector<double>& expected, const std::vector<float>& actual, double tolerance,
                        const std::string& what) {
    ASSERT_EQ(expected.size(), actual.size()) << what;
    for (size_t i = 0; i < expected.size(); i++) {
        ASSERT_TRUE(std::abs(expected[i] - actual[i]) <= tolerance)
            << what << " at " << i << ": expected " << expected[i] << ", got " << actual[i];
    }
}

// Tests that run once for every instruction set of this machine.
class EveryIsa : public testing::TestWithParam<std::string> {};

#define FOR_EVERY_ISA(Suite)                                                  \
    INSTANTIATE_TEST_SUITE_P(Isa, Suite, testing::ValuesIn(available_isas()), \
                             [](const auto& info) { return info.param; })
