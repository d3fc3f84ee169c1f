#include <cstring>

#include "kv_cache.h"
#include "numeric.h"
#include "support.h"

class RopeTest : public EveryIsa {};

// Rotates, splits and stores: looks into the cache for it.
TEST_P(RopeTest, RotatesHalvesAndWritesThePositions) {
    const int64_t m = 7, first = 4, capacity = 20;
    const int32_t heads = 4, kv_heads = 2, layer = 1;
    for (const int32_t d : {2, 8, 16, 38, 64, 80, 128}) {
        for (const int32_t format : {LSP_F32, LSP_F16}) {
            const int64_t half = d / 2, all = heads + 2 * kv_heads;
            const auto qkv = random_floats(static_cast<size_t>(m * all * d), 1);
            std::vector<float> cosines(static_cast<size_t>(capacity * half)), sines(cosines.size());
            const auto angles = random_floats(cosines.size(), 2, 3.0f);
            for (size_t i = 0; i < angles.size(); i++) cosines[i] = std::cos(angles[i]), sines[i] = std::sin(angles[i]);
            std::vector<float> alone;
            for (const int threads : {1, 2, 5}) {
                Engine engine = make_engine(GetParam(), threads);
                lsp_kv_cache* cache = nullptr;
                ASSERT_EQ(LSP_OK, lsp_kv_cache_create(3, kv_heads, d, capacity, format, &cache));
                std::vector<float> query(static_cast<size_t>(m * heads * d), 9.0f);
                ASSERT_EQ(LSP_OK, lsp_rope_and_cache(engine.get(), query.data(), qkv.data(), m, heads, cache, layer,
                                                     first, cosines.data(), sines.data()));
                auto stored = [&](const uint8_t* block, int64_t head, int64_t position, int64_t c) {
                    const int64_t at = lsp::cache_offset(*cache, layer, head, position) + c;
                    return format == LSP_F32 ? reinterpret_cast<const float*>(block)[at]
                                             : lsp::half_to_float(reinterpret_cast<const uint16_t*>(block)[at]);
                };
                for (int64_t row = 0; row < m; row++) {
                    for (int64_t h = 0; h < all; h++) {
                        const float* x = qkv.data() + (row * all + h) * d;
                        for (int64_t c = 0; c < d; c++) {
                            const int64_t pair = c % half, at = (first + row) * half + pair;
                            const double cosine = cosines[at], sine = sines[at];
                            const double turned =
                                c < half ? x[c] * cosine - x[c + half] * sine : x[c] * cosine + x[pair] * sine;
                            const double value = h < heads + kv_heads ? turned : x[c];
                            const float actual = h < heads ? query[(row * heads + h) * d + c]
                                                 : h < heads + kv_heads
                                                     ? stored(cache->keys, h - heads, first + row, c)
                                                     : stored(cache->values, h - heads - kv_heads, first + row, c);
                            const double tolerance =
                                h >= heads && format == LSP_F16 ? std::abs(value) * 4.9e-4 + 6e-8 : 1e-6;
                            ASSERT_TRUE(std::abs(value - actual) <= tolerance)
                                << "head " << h << " of " << d << ", row " << row << ", column " << c;
                        }
                    }
                }
                // Nothing else was touched.
                int64_t nonzero = 0;
                for (const uint8_t* block : {cache->keys, cache->values}) {
                    for (int64_t i = 0; i < 3 * kv_heads * capacity * cache->stride; i++) {
                        nonzero += format == LSP_F32 ? reinterpret_cast<const float*>(block)[i] != 0
                                                     : reinterpret_cast<const uint16_t*>(block)[i] != 0;
                    }
                }
                EXPECT_EQ(2 * m * kv_heads * d, nonzero);
                std::vector<float> bytes(static_cast<size_t>(2 * cache->bytes / 4));
                std::memcpy(bytes.data(), cache->keys, static_cast<size_t>(cache->bytes));
                std::memcpy(bytes.data() + cache->bytes / 4, cache->values, static_cast<size_t>(cache->bytes));
                bytes.insert(bytes.end(), query.begin(), query.end());
                if (threads == 1) alone = bytes;
                EXPECT_EQ(0, std::memcmp(alone.data(), bytes.data(), bytes.size() * sizeof(float))) << threads;
                lsp_kv_cache_destroy(cache);
            }
        }
    }
}

TEST_P(RopeTest, KeepsNaNAndOverflowInF16) {
    Engine engine = make_engine(GetParam(), 1);
    lsp_kv_cache* cache = nullptr;
    ASSERT_EQ(LSP_OK, lsp_kv_cache_create(1, 1, 8, 4, LSP_F16, &cache));
    std::vector<float> qkv(24, 1.0f), query(8);
    qkv[0] = qkv[9] = qkv[18] = std::nanf("");
    qkv[20] = 1e6f;
    const std::vector<float> ones(16, 1.0f), zeros(16, 0.0f);
    ASSERT_EQ(LSP_OK,
              lsp_rope_and_cache(engine.get(), query.data(), qkv.data(), 1, 1, cache, 0, 0, ones.data(), zeros.data()));
    const uint16_t* keys = reinterpret_cast<const uint16_t*>(cache->keys);
    const uint16_t* values = reinterpret_cast<const uint16_t*>(cache->values);
    EXPECT_TRUE(std::isnan(query[0]));
    EXPECT_TRUE(std::isnan(lsp::half_to_float(keys[1])));
    EXPECT_TRUE(std::isnan(lsp::half_to_float(values[2])));
    EXPECT_EQ(INFINITY, lsp::half_to_float(values[4]));
    lsp_kv_cache_destroy(cache);
}

FOR_EVERY_ISA(RopeTest);
