#include "support.h"

namespace {

constexpr int64_t kColumns[] = {1, 2, 8, 17, 64, 100, 1024, 4096, 11008};

// |actual - expected| <= tolerance * (1 + |expected|)
void expect_close(const std::vector<double>& expected, const std::vector<float>& actual, double tolerance,
                  const std::string& what) {
    ASSERT_EQ(expected.size(), actual.size()) << what;
    for (size_t i = 0; i < expected.size(); i++) {
        ASSERT_TRUE(std::abs(expected[i] - actual[i]) <= tolerance * (1 + std::abs(expected[i])))
            << what << " at " << i << ": expected " << expected[i] << ", got " << actual[i];
    }
}

struct Norm {
    bool centred;
    int64_t rows;
    int64_t columns;
    std::vector<float> weight, bias;

    std::vector<double> oracle(const std::vector<float>& x, double epsilon) const {
        std::vector<double> y(x.size());
        for (int64_t r = 0; r < rows; r++) {
            const float* row = x.data() + r * columns;
            double mean = 0, variance = 0;
            for (int64_t c = 0; centred && c < columns; c++) mean += row[c] / static_cast<double>(columns);
            for (int64_t c = 0; c < columns; c++)
                variance += (row[c] - mean) * (row[c] - mean) / static_cast<double>(columns);
            const double inverse = 1 / std::sqrt(variance + epsilon);
            for (int64_t c = 0; c < columns; c++)
                y[r * columns + c] = (row[c] - mean) * inverse * weight[c] + (centred ? bias[c] : 0);
        }
        return y;
    }

    std::vector<float> run(lsp_engine* engine, const std::vector<float>& x, float epsilon) const {
        std::vector<float> y(x.size());
        EXPECT_EQ(LSP_OK, centred ? lsp_layer_norm(engine, y.data(), x.data(), weight.data(), bias.data(), rows,
                                                   columns, epsilon)
                                  : lsp_rms_norm(engine, y.data(), x.data(), weight.data(), rows, columns, epsilon));
        return y;
    }
};

Norm make_norm(bool centred, int64_t rows, int64_t columns) {
    return {centred, rows, columns, random_floats(static_cast<size_t>(columns), 1),
            random_floats(static_cast<size_t>(columns), 2)};
}

}  // namespace

class NormsTest : public EveryIsa {};

TEST_P(NormsTest, MatchDoublePrecision) {
    Engine engine = make_engine(GetParam(), 2);
    for (const bool centred : {true, false}) {
        for (const int64_t columns : kColumns) {
            const Norm norm = make_norm(centred, 5, columns);
            auto x = random_floats(static_cast<size_t>(5 * columns), 3);
            x[static_cast<size_t>(columns / 2)] = 300;  // the outliers of real activations
            expect_close(norm.oracle(x, 1e-5), norm.run(engine.get(), x, 1e-5f), 2e-6, std::to_string(columns));
        }
    }
}

// A mean a thousand times the deviation costs float32 sums their digits.
TEST_P(NormsTest, ManageAMeanFarFromZero) {
    Engine engine = make_engine(GetParam(), 1);
    const Norm norm = make_norm(true, 3, 1024);
    auto x = random_floats(3 * 1024, 4);
    for (float& value : x) value += 1000;
    expect_close(norm.oracle(x, 1e-5), norm.run(engine.get(), x, 1e-5f), 2e-6, "shifted");
}

TEST_P(NormsTest, ManageSquaresBeyondFloat32) {
    Engine engine = make_engine(GetParam(), 1);
    for (const bool centred : {true, false}) {
        const Norm norm = make_norm(centred, 2, 100);
        const auto x = random_floats(200, 5, 1e25f);
        expect_close(norm.oracle(x, 1e-5), norm.run(engine.get(), x, 1e-5f), 2e-6, "large");
    }
}

TEST_P(NormsTest, GiveTheBiasForAConstantRow) {
    Engine engine = make_engine(GetParam(), 1);
    const Norm norm = make_norm(true, 1, 77);
    const auto y = norm.run(engine.get(), std::vector<float>(77, 0.1f), 1e-5f);
    for (size_t c = 0; c < y.size(); c++) EXPECT_NEAR(norm.bias[c], y[c], 1e-4);
}

TEST_P(NormsTest, KeepNaNInItsRow) {
    Engine engine = make_engine(GetParam(), 2);
    for (const bool centred : {true, false}) {
        for (const int64_t at : {0, 40, 98, 99}) {
            const Norm norm = make_norm(centred, 3, 100);
            auto x = random_floats(300, 6);
            x[static_cast<size_t>(100 + at)] = std::nanf("");
            const auto y = norm.run(engine.get(), x, 1e-5f);
            for (size_t i = 0; i < y.size(); i++) ASSERT_EQ(i / 100 == 1, std::isnan(y[i])) << i;
        }
    }
}

TEST_P(NormsTest, WorkInPlaceWithAnyNumberOfThreads) {
    for (const bool centred : {true, false}) {
        const Norm norm = make_norm(centred, 40, 130);
        const auto x = random_floats(40 * 130, 7);
        const auto expected = norm.run(make_engine(GetParam(), 1).get(), x, 1e-6f);
        for (const int threads : {2, 5}) {
            Engine engine = make_engine(GetParam(), threads);
            auto y = x;
            ASSERT_EQ(LSP_OK, centred
                                  ? lsp_layer_norm(engine.get(), y.data(), y.data(), norm.weight.data(),
                                                   norm.bias.data(), 40, 130, 1e-6f)
                                  : lsp_rms_norm(engine.get(), y.data(), y.data(), norm.weight.data(), 40, 130, 1e-6f));
            EXPECT_EQ(expected, y);
        }
    }
}

FOR_EVERY_ISA(NormsTest);
