#include <cfloat>

#include "matrix_support.h"

namespace {

struct Projection {
    std::vector<float> norm_weight, norm_bias, bias, w;
    Weight weight{nullptr, lsp_weight_destroy};

    Projection(int64_t width, unsigned seed)
        : norm_weight(random_floats(width, seed)),
          norm_bias(random_floats(width, seed + 1)),
          bias(random_floats(width, seed + 2)),
          weight(random_weight(width, width, kFormats[0], seed + 3)) {
        w = dequantized(weight.get(), width, width);
    }

    lsp_norm_linear view() const { return {norm_weight.data(), norm_bias.data(), weight.get(), bias.data()}; }

    std::vector<double> of(const std::vector<double>& rows, int64_t width) const {
        std::vector<float> normed;
        for (size_t at = 0; at < rows.size(); at += width) {
            double mean = 0, variance = 0;
            for (int64_t c = 0; c < width; c++) mean += rows[at + c] / width;
            for (int64_t c = 0; c < width; c++) variance += (rows[at + c] - mean) * (rows[at + c] - mean) / width;
            for (int64_t c = 0; c < width; c++) {
                normed.push_back(static_cast<float>(
                    (rows[at + c] - mean) / std::sqrt(variance + 1e-5) * norm_weight[c] + norm_bias[c]));
            }
        }
        return product(normed, w, static_cast<int64_t>(rows.size()) / width, width, width, bias, LSP_NONE, {});
    }
};

std::vector<double> cleared(std::vector<double> values) {
    for (double& value : values)
        value = std::isnan(value) ? 0 : std::max<double>(-FLT_MAX, std::min<double>(FLT_MAX, value));
    return values;
}

}  // namespace

using FusionTest = EveryIsa;

TEST_P(FusionTest, MatchesDoublePrecisionAndClearsNaN) {
    Engine engine = make_engine(GetParam(), 2);
    const int64_t grid = 12, d = 9, kernel = 8, stride = 2, side = 3, p = 9, count = 6, width = 21,
                  k = kernel * kernel * d;
    const Weight conv = random_weight(width, k, kFormats[0], 1);
    const auto conv_w = dequantized(conv.get(), width, k);
    const Projection query(width, 10), key(width, 20), value(width, 30);
    for (const bool damaged : {false, true}) {
        auto features = random_floats(static_cast<size_t>(grid * grid * d), 2, 0.1f);
        auto tokens = random_floats(static_cast<size_t>(count * width), 3);
        if (damaged) {
            features[3] = std::nanf("");  // seen by the first position only
            tokens[5] = std::nanf("");
            tokens[width + 1] = INFINITY;
            for (int64_t c = 0; c < width; c++) tokens[3 * width + c] = std::nanf("");
            tokens[width + 1] = 0;  // an infinity that is cleared to 3e38 has no finite LayerNorm: tested apart
        }
        std::vector<float> x;
        for (int64_t i = 0; i < p; i++) {
            for (int64_t y = 0; y < kernel; y++) {
                const float* row = features.data() + ((i / side * stride + y) * grid + i % side * stride) * d;
                x.insert(x.end(), row, row + kernel * d);
            }
        }
        const auto map = cleared(product(x, conv_w, p, width, k, {}, LSP_NONE, {}));
        const auto clean = cleared({tokens.begin(), tokens.end()});
        const auto q = query.of(clean, width), ks = key.of(map, width), v = value.of(map, width);
        std::vector<double> expected, logits, probs;
        for (int64_t i = 0; i < count; i++) {
            std::vector<double> row(p);
            double most = -1e300, sum = 0;
            for (int64_t j = 0; j < p; j++) {
                for (int64_t c = 0; c < width; c++) row[j] += q[i * width + c] * ks[j * width + c];
                row[j] /= std::sqrt(static_cast<double>(width));
                logits.push_back(row[j]);
                most = std::max(most, row[j]);
            }
            for (double& e : row) sum += e = std::exp(e - most);
            for (int64_t c = 0; c < width; c++) expected.push_back(clean[i * width + c]);
            for (double& e : row) probs.push_back(e /= sum);
            for (int64_t c = 0; c < width; c++) {
                double out = 0;
                for (int64_t j = 0; j < p; j++) out += row[j] * v[j * width + c];
                expected.push_back(out);
            }
        }
        std::vector<float> y(expected.size()), l(logits.size()), pr(probs.size()), qt(q.size()), kt(ks.size()),
            vt(v.size()), ct(map.size()), ot(q.size());
        const lsp_fusion_trace trace = {ct.data(), qt.data(), kt.data(), vt.data(), l.data(), pr.data(), ot.data()};
        const lsp_norm_linear qv = query.view(), kv = key.view(), vv = value.view();
        for (const lsp_fusion_trace* t : {static_cast<const lsp_fusion_trace*>(nullptr), &trace}) {
            ASSERT_EQ(LSP_OK, lsp_detail_fusion(engine.get(), y.data(), tokens.data(), count, features.data(), 1, grid,
                                                d, kernel, stride, conv.get(), &qv, &kv, &vv, 1e-5f, t, 1));
            expect_near(expected, y, 1e-4, "fusion");
        }
        expect_near(logits, l, 2e-4, "logits");
        expect_near(probs, pr, 1e-4, "probs");
        expect_near(q, qt, 1e-4, "query");
        expect_near(ks, kt, 1e-4, "key");
        expect_near(v, vt, 1e-4, "value");
        expect_near(map, ct, 1e-4, "conv");
        for (int64_t i = 0; i < count * width; i++) ASSERT_EQ(y[i / width * 2 * width + width + i % width], ot[i]);
    }
}

TEST_P(FusionTest, ClearsInfinitiesToTheLargestFiniteValue) {
    Engine engine = make_engine(GetParam(), 1);
    const int64_t grid = 4, d = 2, kernel = 2, width = 5;
    const Weight conv = random_weight(width, kernel * kernel * d, kFormats[0], 1);
    const Projection projection(width, 10);
    const auto features = random_floats(static_cast<size_t>(grid * grid * d), 2);
    std::vector<float> tokens = {1, INFINITY, -INFINITY, NAN, 2}, y(2 * width);
    const lsp_norm_linear view = projection.view();
    ASSERT_EQ(LSP_OK, lsp_detail_fusion(engine.get(), y.data(), tokens.data(), 1, features.data(), 1, grid, d, kernel,
                                        2, conv.get(), &view, &view, &view, 1e-5f, nullptr, 0));
    EXPECT_EQ((std::vector<float>{1, FLT_MAX, -FLT_MAX, 0, 2}), std::vector<float>(y.begin(), y.begin() + width));
}

// Two tiles in one call are the two tiles in two calls, bit for bit where the shapes of the products do not differ in
// kind.
TEST_P(FusionTest, KeepsTilesApart) {
    Engine engine = make_engine(GetParam(), 2);
    const int64_t grid = 6, d = 4, kernel = 4, count = 3, width = 10, tiles = 3;
    const Weight conv = random_weight(width, kernel * kernel * d, kFormats[0], 1);
    const Projection query(width, 10), key(width, 20), value(width, 30);
    const auto features = random_floats(static_cast<size_t>(tiles * grid * grid * d), 2),
               tokens = random_floats(tiles * count * width, 3);
    const lsp_norm_linear q = query.view(), k = key.view(), v = value.view();
    std::vector<float> all(tiles * count * 2 * width), one(count * 2 * width);
    ASSERT_EQ(LSP_OK, lsp_detail_fusion(engine.get(), all.data(), tokens.data(), count, features.data(), tiles, grid, d,
                                        kernel, 2, conv.get(), &q, &k, &v, 1e-5f, nullptr, 0));
    for (int64_t tile = 0; tile < tiles; tile++) {
        ASSERT_EQ(LSP_OK, lsp_detail_fusion(engine.get(), one.data(), tokens.data() + tile * count * width, count,
                                            features.data() + tile * grid * grid * d, 1, grid, d, kernel, 2, conv.get(),
                                            &q, &k, &v, 1e-5f, nullptr, 0));
        expect_near({one.begin(), one.end()},
                    {all.begin() + tile * count * 2 * width, all.begin() + (tile + 1) * count * 2 * width}, 1e-5,
                    "tile");
    }
}

FOR_EVERY_ISA(FusionTest);
