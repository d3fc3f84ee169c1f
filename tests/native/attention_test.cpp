#include <algorithm>
#include <cstdint>
#include <cstring>

#include "support.h"

namespace {

using Cache = std::unique_ptr<lsp_kv_cache, void (*)(lsp_kv_cache*)>;

// What a cache of the format keeps of a number.
double kept(float value, int32_t format) {
    if (format == LSP_F32 || value == 0 || !std::isfinite(value)) return value;
    const double unit = std::ldexp(1.0, std::max(std::ilogb(value), -14) - 10);
    return std::nearbyint(value / unit) * unit;
}

// softmax(q k^T / sqrt(d)) v for one query row; keys and values `stride` apart.
void attend(const float* query, const double* keys, const double* values, int64_t stride, int64_t length, int64_t d,
            double* out) {
    std::vector<double> weights(static_cast<size_t>(length));
    double most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < length; j++) {
        double dot = 0;
        for (int64_t c = 0; c < d; c++) dot += static_cast<double>(query[c]) * keys[j * stride + c];
        weights[j] = dot / std::sqrt(static_cast<double>(d));
        most = std::max(most, weights[j]);
    }
    for (double& weight : weights) sum += weight = std::exp(weight - most);
    std::fill(out, out + d, 0.0);
    for (int64_t j = 0; j < length; j++) {
        for (int64_t c = 0; c < d; c++) out[c] += weights[j] / sum * values[j * stride + c];
    }
}

std::vector<double> full_oracle(const std::vector<float>& qkv, int64_t batch, int64_t n, int64_t heads, int64_t d) {
    const int64_t width = heads * d;
    const std::vector<double> exact(qkv.begin(), qkv.end());
    std::vector<double> out(static_cast<size_t>(batch * n * width));
    for (int64_t row = 0; row < batch * n; row++) {
        for (int64_t h = 0; h < heads; h++) {
            const double* keys = exact.data() + row / n * n * 3 * width + width + h * d;
            attend(qkv.data() + row * 3 * width + h * d, keys, keys + width, 3 * width, n, d,
                   out.data() + row * width + h * d);
        }
    }
    return out;
}

struct Shape {
    int64_t m;
    int64_t first;
    int32_t kv_heads;
    int32_t group;
    int32_t head_dim;

    int64_t length() const { return first + m; }
    int32_t heads() const { return kv_heads * group; }
    int64_t width() const { return int64_t{heads()} * head_dim; }
    int64_t kv_width() const { return int64_t{kv_heads} * head_dim; }
    std::string name() const {
        return "m " + std::to_string(m) + " first " + std::to_string(first) + " kv " + std::to_string(kv_heads) +
               " group " + std::to_string(group) + " head " + std::to_string(head_dim);
    }
};

// Few rows and many, one piece of the cache and several, ends of blocks, groups that fill a tile and that do not.
const Shape kShapes[] = {
    {1, 0, 2, 1, 8},      {1, 0, 1, 8, 16},     {1, 16, 2, 2, 8},     {1, 255, 1, 1, 64},  {1, 256, 1, 1, 64},
    {1, 576, 2, 1, 128},  {1, 999, 1, 8, 64},   {1, 999, 1, 3, 80},   {1, 700, 1, 16, 64}, {2, 0, 1, 1, 8},
    {2, 255, 2, 1, 64},   {2, 510, 1, 4, 80},   {8, 250, 1, 1, 64},   {3, 254, 1, 2, 16},  {7, 0, 1, 1, 256},
    {17, 0, 2, 1, 8},     {17, 3, 1, 2, 16},    {64, 64, 1, 1, 22},   {577, 0, 1, 1, 64},  {100, 0, 1, 8, 80},
    {50, 300, 2, 2, 128}, {30, 970, 1, 1, 256}, {13, 1000, 1, 1, 80},
};

// Rows [key | value] of all positions, in a cache of one layer too many, whose remaining positions hold NaN.
Cache fill_cache(lsp_engine* engine, const Shape& s, int32_t format, const std::vector<float>& key_values) {
    const int64_t kv = s.kv_width(), capacity = s.length() + 70;
    lsp_kv_cache* made = nullptr;
    EXPECT_EQ(LSP_OK, lsp_kv_cache_create(2, s.kv_heads, s.head_dim, static_cast<int32_t>(capacity), format, &made));
    Cache cache(made, lsp_kv_cache_destroy);
    // The rotation by no angle keeps every number as it is; the queries are not used.
    std::vector<float> rows(static_cast<size_t>(capacity * 3 * kv), std::nanf("")),
        query(static_cast<size_t>(capacity * kv));
    const std::vector<float> ones(static_cast<size_t>(capacity * s.head_dim / 2), 1.0f), zeros(ones.size(), 0.0f);
    for (int64_t j = 0; j < s.length(); j++) {
        for (int64_t c = 0; c < 2 * kv; c++) rows[j * 3 * kv + kv + c] = key_values[j * 2 * kv + c];
    }
    EXPECT_EQ(LSP_OK, lsp_rope_and_cache(engine, query.data(), rows.data(), capacity, s.kv_heads, made, 1, 0,
                                         ones.data(), zeros.data()));
    return cache;
}

std::vector<double> causal_oracle(const Shape& s, int32_t format, const std::vector<float>& query,
                                  const std::vector<float>& key_values) {
    std::vector<double> exact(key_values.size()), out(query.size());
    std::transform(key_values.begin(), key_values.end(), exact.begin(), [=](float x) { return kept(x, format); });
    for (int64_t row = 0; row < s.m; row++) {
        for (int64_t h = 0; h < s.heads(); h++) {
            const double* keys = exact.data() + h / s.group * s.head_dim;
            const int64_t at = row * s.width() + h * s.head_dim;
            attend(query.data() + at, keys, keys + s.kv_width(), 2 * s.kv_width(), s.first + row + 1, s.head_dim,
                   out.data() + at);
        }
    }
    return out;
}

std::vector<float> causal(lsp_engine* engine, const Shape& s, const lsp_kv_cache* cache,
                          const std::vector<float>& query) {
    std::vector<float> out(query.size(), 7.0f);
    EXPECT_EQ(LSP_OK, lsp_causal_attention(engine, out.data(), query.data(), s.m, s.heads(), cache, 1, s.first));
    return out;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace

class AttentionTest : public EveryIsa {};

TEST_P(AttentionTest, FullMatchesDoublePrecision) {
    Engine engine = make_engine(GetParam(), 2);
    const int64_t shapes[][4] = {{1, 1, 1, 8},      {2, 2, 3, 8},  {1, 17, 2, 16},  {1, 577, 2, 64}, {2, 50, 1, 80},
                                 {1, 1000, 1, 128}, {3, 33, 1, 7}, {1, 20, 1, 256}, {1, 65, 2, 8},   {1, 128, 1, 24}};
    for (const auto& [batch, n, heads, d] : shapes) {
        const auto qkv = random_floats(static_cast<size_t>(batch * n * 3 * heads * d), static_cast<unsigned>(n + d));
        std::vector<float> out(static_cast<size_t>(batch * n * heads * d));
        ASSERT_EQ(LSP_OK, lsp_full_attention(engine.get(), out.data(), qkv.data(), batch, n,
                                             static_cast<int32_t>(heads), static_cast<int32_t>(d)));
        expect_near(full_oracle(qkv, batch, n, heads, d), out, 2e-6,
                    "n " + std::to_string(n) + " head " + std::to_string(d));
    }
}

TEST_P(AttentionTest, CausalMatchesDoublePrecision) {
    Engine engine = make_engine(GetParam(), 2);
    for (const Shape& s : kShapes) {
        for (const int32_t format : {LSP_F32, LSP_F16}) {
            const auto query = random_floats(static_cast<size_t>(s.m * s.width()), 1);
            const auto key_values = random_floats(static_cast<size_t>(s.length() * 2 * s.kv_width()), 2);
            const Cache cache = fill_cache(engine.get(), s, format, key_values);
            expect_near(causal_oracle(s, format, query, key_values), causal(engine.get(), s, cache.get(), query), 2e-6,
                        s.name());
        }
    }
}

// Scores of +-100 and more: the largest position of a block changes often and most weights vanish.
TEST_P(AttentionTest, PeakedScoresMatchDoublePrecision) {
    Engine engine = make_engine(GetParam(), 2);
    for (const Shape& s : {Shape{1, 800, 2, 2, 64}, Shape{70, 130, 1, 2, 64}}) {
        const auto query = random_floats(static_cast<size_t>(s.m * s.width()), 3, 40.0f);
        const auto key_values = random_floats(static_cast<size_t>(s.length() * 2 * s.kv_width()), 4);
        const Cache cache = fill_cache(engine.get(), s, LSP_F32, key_values);
        expect_near(causal_oracle(s, LSP_F32, query, key_values), causal(engine.get(), s, cache.get(), query), 1e-4,
                    s.name());
    }
}

// A score of minus infinity is a weight of zero, whatever came before it.
TEST_P(AttentionTest, InfinitelySmallScoresAreNoWeight) {
    Engine engine = make_engine(GetParam(), 1);
    for (const Shape& s : {Shape{1, 300, 1, 1, 8}, Shape{100, 201, 1, 1, 8}}) {
        // Keys [0 … 0] but for the first, whose product with the query overflows; values of 2.
        std::vector<float> key_values(static_cast<size_t>(s.length() * 16), 0.0f);
        for (int64_t j = 0; j < s.length(); j++) std::fill_n(key_values.begin() + j * 16 + 8, 8, 2.0f);
        for (int64_t j = 0; j < 70; j++) std::fill_n(key_values.begin() + j * 16, 8, -60000.0f);
        const std::vector<float> query(static_cast<size_t>(s.m * 8), 1e38f);
        const Cache cache = fill_cache(engine.get(), s, LSP_F16, key_values);
        for (const float y : causal(engine.get(), s, cache.get(), query)) EXPECT_FLOAT_EQ(2.0f, y);
    }
}

TEST_P(AttentionTest, FullKeepsNaN) {
    Engine engine = make_engine(GetParam(), 2);
    const int64_t n = 100, d = 8, width = 2 * d;
    for (const int64_t part : {0, 1, 2}) {
        auto qkv = random_floats(static_cast<size_t>(n * 3 * width), 5);
        qkv[71 * 3 * width + part * width + d + 3] = std::nanf("");  // row 71, second head
        std::vector<float> out(static_cast<size_t>(n * width));
        ASSERT_EQ(LSP_OK, lsp_full_attention(engine.get(), out.data(), qkv.data(), 1, n, 2, d));
        for (int64_t row = 0; row < n; row++) {
            for (int64_t c = 0; c < width; c++) {
                const bool spoiled = part == 0 ? row == 71 && c >= d : part == 1 ? c >= d : c == d + 3;
                ASSERT_EQ(spoiled, std::isnan(out[row * width + c])) << part << " " << row << " " << c;
            }
        }
    }
}

// A NaN spoils the rows that see it and no other.
TEST_P(AttentionTest, CausalKeepsNaN) {
    Engine engine = make_engine(GetParam(), 2);
    for (const Shape& s :
         {Shape{1, 599, 2, 4, 16}, Shape{4, 510, 2, 2, 16}, Shape{90, 0, 2, 1, 16}, Shape{40, 70, 2, 2, 16}}) {
        for (const int32_t format : {LSP_F32, LSP_F16}) {
            for (const int64_t at : {int64_t{0}, s.length() / 2, s.length() - 2, s.length() - 1}) {
                for (const bool in_value : {false, true}) {
                    const auto query = random_floats(static_cast<size_t>(s.m * s.width()), 6);
                    auto key_values = random_floats(static_cast<size_t>(s.length() * 2 * s.kv_width()), 7);
                    key_values[at * 2 * s.kv_width() + (in_value ? s.kv_width() : 0) + 16 + 5] =
                        std::nanf("");  // second head
                    const Cache cache = fill_cache(engine.get(), s, format, key_values);
                    const auto out = causal(engine.get(), s, cache.get(), query);
                    for (int64_t i = 0; i < s.m * s.width(); i++) {
                        const int64_t row = i / s.width(), head = i % s.width() / 16 / s.group;
                        const bool spoiled = head == 1 && s.first + row >= at && (!in_value || i % 16 == 5);
                        ASSERT_EQ(spoiled, std::isnan(out[i]))
                            << s.name() << " NaN at " << at << " in " << in_value << ", element " << i;
                    }
                }
            }
        }
    }
}

TEST_P(AttentionTest, DoesNotDependOnThreads) {
    const auto qkv = random_floats(2 * 150 * 3 * 2 * 24, 8);
    std::vector<float> alone(2 * 150 * 2 * 24), together(alone.size());
    Engine one = make_engine(GetParam(), 1);
    ASSERT_EQ(LSP_OK, lsp_full_attention(one.get(), alone.data(), qkv.data(), 2, 150, 2, 24));
    for (const int threads : {2, 5}) {
        Engine engine = make_engine(GetParam(), threads);
        ASSERT_EQ(LSP_OK, lsp_full_attention(engine.get(), together.data(), qkv.data(), 2, 150, 2, 24));
        EXPECT_TRUE(same_bits(alone, together)) << threads;
        for (const Shape& s :
             {Shape{1, 1200, 1, 4, 64}, Shape{1, 600, 3, 1, 80}, Shape{3, 700, 2, 2, 32}, Shape{200, 100, 2, 2, 32}}) {
            const auto query = random_floats(static_cast<size_t>(s.m * s.width()), 9);
            const Cache cache = fill_cache(one.get(), s, LSP_F16,
                                           random_floats(static_cast<size_t>(s.length() * 2 * s.kv_width()), 10));
            EXPECT_TRUE(
                same_bits(causal(one.get(), s, cache.get(), query), causal(engine.get(), s, cache.get(), query)))
                << threads << " " << s.name();
        }
    }
}

TEST_P(AttentionTest, RefusesWhatDoesNotFit) {
    Engine engine = make_engine(GetParam(), 1);
    lsp_kv_cache* made = nullptr;
    ASSERT_EQ(LSP_OK, lsp_kv_cache_create(2, 2, 8, 10, LSP_F16, &made));
    const Cache cache(made, lsp_kv_cache_destroy);
    std::vector<float> x(1000), y(1000);
    auto run = [&](int64_t m, int32_t heads, int32_t layer, int64_t first) {
        const int32_t status = lsp_causal_attention(engine.get(), y.data(), x.data(), m, heads, made, layer, first);
        EXPECT_EQ(status, lsp_rope_and_cache(engine.get(), y.data(), x.data(), m, heads, made, layer, first, x.data(),
                                             x.data()));
        return status;
    };
    EXPECT_EQ(LSP_OK, run(3, 4, 1, 7));
    EXPECT_EQ(LSP_OK, run(0, 4, 1, 10));
    EXPECT_EQ(LSP_INVALID_ARGUMENT, run(4, 4, 1, 7));
    EXPECT_EQ(LSP_INVALID_ARGUMENT, run(1, 4, 1, INT64_MAX));
    EXPECT_EQ(LSP_INVALID_ARGUMENT, run(1, 4, 1, -1));
    EXPECT_EQ(LSP_INVALID_ARGUMENT, run(-1, 4, 1, 0));
    EXPECT_EQ(LSP_INVALID_ARGUMENT, run(1, 3, 1, 0));
    EXPECT_EQ(LSP_INVALID_ARGUMENT, run(1, 0, 1, 0));
    EXPECT_EQ(LSP_INVALID_ARGUMENT, run(1, 4, 2, 0));
    EXPECT_EQ(LSP_INVALID_ARGUMENT, run(1, 4, -1, 0));
    EXPECT_EQ(LSP_INVALID_ARGUMENT, lsp_full_attention(engine.get(), y.data(), x.data(), 1, 0, 1, 8));
    EXPECT_EQ(LSP_INVALID_ARGUMENT, lsp_full_attention(engine.get(), y.data(), nullptr, 1, 1, 1, 8));
}

TEST(KvCache, RefusesWhatDoesNotFit) {
    lsp_kv_cache* made = nullptr;
    EXPECT_EQ(LSP_INVALID_ARGUMENT, lsp_kv_cache_create(0, 1, 8, 1, LSP_F16, &made));
    EXPECT_EQ(LSP_INVALID_ARGUMENT, lsp_kv_cache_create(1, 1, 7, 1, LSP_F16, &made));
    EXPECT_EQ(LSP_INVALID_ARGUMENT, lsp_kv_cache_create(1, 1, 8, 0, LSP_F16, &made));
    EXPECT_EQ(LSP_INVALID_ARGUMENT, lsp_kv_cache_create(1, 1, 8, 1, LSP_INT8, &made));
    EXPECT_EQ(LSP_OUT_OF_MEMORY, lsp_kv_cache_create(4096, 4096, 4096, INT32_MAX, LSP_F32, &made));
    EXPECT_EQ(nullptr, made);
}

FOR_EVERY_ISA(AttentionTest);
