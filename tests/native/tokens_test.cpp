#include <algorithm>

#include "matrix_support.h"
#include "support.h"

class TokensTest : public EveryIsa {};

TEST_P(TokensTest, GatedActivationMatchesDoublePrecision) {
    for (const int64_t m : {1, 3, 17}) {
        for (const int64_t n : {1, 7, 64, 100, 11008}) {
            auto x = random_floats(static_cast<size_t>(m * 2 * n), static_cast<unsigned>(n), 4.0f);
            x[0] = -90, x[static_cast<size_t>(n)] = 1e6f;
            std::vector<double> expected(static_cast<size_t>(m * n));
            for (int64_t i = 0; i < m * n; i++) {
                const double gate = x[i / n * 2 * n + i % n], up = x[i / n * 2 * n + n + i % n];
                expected[i] = gate / (1 + std::exp(-gate)) * up;
            }
            std::vector<float> alone;
            for (const int threads : {1, 2, 5}) {
                Engine engine = make_engine(GetParam(), threads);
                std::vector<float> y(expected.size());
                ASSERT_EQ(LSP_OK, lsp_gated_activation(engine.get(), y.data(), x.data(), m, n));
                for (size_t i = 0; i < y.size(); i++) {
                    ASSERT_TRUE(std::abs(expected[i] - y[i]) <= 4e-7 * std::abs(expected[i]) + 1e-30)
                        << i << ": " << expected[i] << " " << y[i];
                }
                if (threads == 1) alone = y;
                EXPECT_EQ(alone, y);
            }
        }
    }
}

TEST_P(TokensTest, GatedActivationKeepsNaN) {
    Engine engine = make_engine(GetParam(), 1);
    for (int64_t at = 0; at < 42; at++) {
        std::vector<float> x(42, 1.0f), y(21);
        x[static_cast<size_t>(at)] = std::nanf("");
        ASSERT_EQ(LSP_OK, lsp_gated_activation(engine.get(), y.data(), x.data(), 1, 21));
        for (int64_t i = 0; i < 21; i++) EXPECT_EQ(i == at % 21, std::isnan(y[i]));
    }
}

TEST_P(TokensTest, CopyCopies) {
    Engine engine = make_engine(GetParam(), 5);
    for (const int64_t count : {0, 1, 1000, 300001}) {
        const auto x = random_floats(static_cast<size_t>(count) + 1, 1);
        std::vector<float> y(x.size(), 3.0f);
        ASSERT_EQ(LSP_OK, lsp_copy(engine.get(), y.data(), x.data(), count));
        EXPECT_EQ(3.0f, y.back());
        EXPECT_TRUE(std::equal(x.begin(), x.end() - 1, y.begin()));
    }
}

TEST_P(TokensTest, EmbedGivesTheRowsOfTheTable) {
    Engine engine = make_engine(GetParam(), 2);
    const int64_t rows = 45, columns = 96;
    for (const Format& format : kFormats) {
        const Weight table = random_weight(rows, columns, format, 3);
        std::vector<float> all(static_cast<size_t>(rows * columns)), y(static_cast<size_t>(4 * columns));
        ASSERT_EQ(LSP_OK, lsp_weight_read_rows(table.get(), 0, rows, all.data()));
        const int32_t ids[] = {44, 0, 31, 44};
        ASSERT_EQ(LSP_OK, lsp_embed(engine.get(), y.data(), table.get(), ids, 4));
        for (int i = 0; i < 4; i++)
            EXPECT_TRUE(
                std::equal(y.begin() + i * columns, y.begin() + (i + 1) * columns, all.begin() + ids[i] * columns));
        for (const int32_t wrong : {-1, 45, INT32_MAX, INT32_MIN}) {
            const int32_t bad[] = {0, wrong};
            EXPECT_EQ(LSP_INVALID_ARGUMENT, lsp_embed(engine.get(), y.data(), table.get(), bad, 2));
        }
    }
}

TEST_P(TokensTest, ArgmaxIsTheFirstOfTheLargest) {
    Engine engine = make_engine(GetParam(), 1);
    for (const int64_t n : {1, 2, 15, 16, 17, 1000, 1024, 32000}) {
        const auto x = random_floats(static_cast<size_t>(n), static_cast<unsigned>(n));
        int64_t index = -1;
        ASSERT_EQ(LSP_OK, lsp_argmax(engine.get(), x.data(), n, &index));
        EXPECT_EQ(std::max_element(x.begin(), x.end()) - x.begin(), index);
        // Equals: the first, wherever two lie.
        for (const int64_t a : {int64_t{0}, n / 3, n / 2, n - 1}) {
            for (const int64_t b : {n / 2, n - 1}) {
                auto equal = x;
                equal[static_cast<size_t>(a)] = equal[static_cast<size_t>(b)] = 50;
                ASSERT_EQ(LSP_OK, lsp_argmax(engine.get(), equal.data(), n, &index));
                EXPECT_EQ(std::min(a, b), index);
            }
            auto damaged = x;
            damaged[static_cast<size_t>(a)] = std::nanf("");
            EXPECT_EQ(LSP_NOT_A_NUMBER, lsp_argmax(engine.get(), damaged.data(), n, &index)) << a << " of " << n;
        }
        const std::vector<float> least(static_cast<size_t>(n), -INFINITY);
        ASSERT_EQ(LSP_OK, lsp_argmax(engine.get(), least.data(), n, &index));
        EXPECT_EQ(0, index);
    }
    float x = 1;
    int64_t index = 0;
    EXPECT_EQ(LSP_INVALID_ARGUMENT, lsp_argmax(engine.get(), &x, 0, &index));
}

FOR_EVERY_ISA(TokensTest);
