#include "weights.h"

#include <cstring>

#include "matrix_support.h"
#include "numeric.h"

TEST(WeightsTest, IntegersComeBackExactly) {
    for (const Format& format : kFormats) {
        if (format.group == 0) continue;
        for (const int64_t columns : {1, 3, 31, 32, 33, 127, 128, 129, 300}) {
            const int64_t rows = 75, groups = (columns + format.group - 1) / format.group;
            const bool wide = format.format == LSP_INT8;
            std::mt19937 generator(1);
            std::uniform_int_distribution<int> q(wide ? -127 : -8, wide ? 127 : 7);
            std::vector<int8_t> values(static_cast<size_t>(rows * columns));
            for (int8_t& value : values) value = static_cast<int8_t>(q(generator));
            std::vector<float> scales(static_cast<size_t>(rows * groups));
            for (size_t i = 0; i < scales.size(); i++) scales[i] = static_cast<float>(i % 31 + 1) / 64;

            lsp_weight* made = nullptr;
            ASSERT_EQ(LSP_OK, lsp_weight_create(rows, columns, format.format, format.group, &made));
            const Weight weight(made, lsp_weight_destroy);
            // In two blocks, the second one first.
            ASSERT_EQ(LSP_OK, lsp_weight_write_integers(made, 32, rows - 32, values.data() + 32 * columns,
                                                        scales.data() + 32 * groups));
            ASSERT_EQ(LSP_OK, lsp_weight_write_integers(made, 0, 32, values.data(), scales.data()));
            const auto read = dequantized(made, rows, columns);
            for (int64_t i = 0; i < rows; i++) {
                for (int64_t c = 0; c < columns; c++) {
                    ASSERT_EQ(static_cast<float>(values[i * columns + c]) * scales[i * groups + c / format.group],
                              read[i * columns + c]);
                }
            }
        }
    }
}

// A checkpoint's own rows give the same bytes, padding included, as numbers that are rounded to its format.
TEST(WeightsTest, StoredRowsArePackedAsNumbersAre) {
    for (const Format& format : kFormats) {
        for (const int64_t columns : {1, 2, 3, 31, 64, 127, 128, 130, 301}) {
            const int64_t rows = 75, groups = format.group == 0 ? 0 : (columns + format.group - 1) / format.group;
            std::mt19937 generator(5);
            std::vector<uint8_t> stored;
            std::vector<int8_t> values;
            std::vector<float> floats, scales;
            std::vector<uint16_t> halves;
            for (int64_t i = 0; i < rows; i++) {
                for (int64_t c = 0; c < columns; c++) {
                    const int q = static_cast<int>(generator() % 16) - 8;
                    floats.push_back(static_cast<float>(q) / 4);
                    values.push_back(static_cast<int8_t>(q));
                    const uint16_t half = format.format == LSP_BF16 ? lsp::float_to_bfloat(floats.back())
                                                                    : lsp::float_to_half(floats.back());
                    const auto append = [&](const auto& value) {
                        const auto* bytes = reinterpret_cast<const uint8_t*>(&value);
                        stored.insert(stored.end(), bytes, bytes + sizeof value);
                    };
                    if (format.format == LSP_F32) append(floats.back());
                    if (format.format == LSP_F16 || format.format == LSP_BF16) append(half);
                    if (format.format == LSP_INT8) append(values.back());
                    if (format.format != LSP_INT4) continue;
                    if (c % 2 == 0) stored.push_back(0xf0);  // what stands behind an odd width must not matter
                    uint8_t& byte = stored.back();
                    const uint8_t nibble = static_cast<uint8_t>(q + 8);
                    byte = c % 2 == 0 ? (byte & 0xf0) | nibble : (byte & 0x0f) | static_cast<uint8_t>(nibble << 4);
                }
            }
            for (int64_t i = 0; i < rows * groups; i++) {
                scales.push_back(static_cast<float>(i % 31 + 1) / 64);
                halves.push_back(lsp::float_to_half(scales.back()));
            }

            std::vector<Weight> made;
            for (int k = 0; k < 2; k++) {
                lsp_weight* weight = nullptr;
                ASSERT_EQ(LSP_OK, lsp_weight_create(rows, columns, format.format, format.group, &weight));
                made.emplace_back(weight, lsp_weight_destroy);
            }
            if (format.group == 0) {
                ASSERT_EQ(LSP_OK, lsp_weight_write_f32(made[0].get(), 0, rows, floats.data()));
            } else {
                ASSERT_EQ(LSP_OK, lsp_weight_write_integers(made[0].get(), 0, rows, values.data(), scales.data()));
            }
            // In two blocks.
            const int64_t row_bytes = static_cast<int64_t>(stored.size()) / rows;
            ASSERT_EQ(LSP_OK, lsp_weight_write_stored(made[1].get(), 32, rows - 32, stored.data() + 32 * row_bytes,
                                                      halves.data() + 32 * groups));
            ASSERT_EQ(LSP_OK, lsp_weight_write_stored(made[1].get(), 0, 32, stored.data(), halves.data()));
            ASSERT_EQ(0,
                      std::memcmp(made[0]->data, made[1]->data, static_cast<size_t>(lsp_weight_bytes(made[0].get()))))
                << format.name << ", " << columns << " columns";
        }
    }
}

TEST(WeightsTest, FloatsComeBackRounded) {
    const int64_t rows = 37, columns = 19;
    const auto values = random_floats(static_cast<size_t>(rows * columns), 3);
    for (const Format& format : {kFormats[0], kFormats[1], kFormats[2]}) {
        lsp_weight* made = nullptr;
        ASSERT_EQ(LSP_OK, lsp_weight_create(rows, columns, format.format, 0, &made));
        const Weight weight(made, lsp_weight_destroy);
        ASSERT_EQ(LSP_OK, lsp_weight_write_f32(made, 0, rows, values.data()));
        const auto read = dequantized(made, rows, columns);
        const float error = format.format == LSP_F32 ? 0 : format.format == LSP_F16 ? 1.0f / 2048 : 1.0f / 256;
        for (size_t i = 0; i < values.size(); i++)
            ASSERT_LE(std::abs(values[i] - read[i]), std::abs(values[i]) * error);
    }
}

TEST(WeightsTest, RefusesWhatDoesNotFit) {
    lsp_weight* made = nullptr;
    EXPECT_EQ(LSP_INVALID_ARGUMENT, lsp_weight_create(0, 4, LSP_F32, 0, &made));
    EXPECT_EQ(LSP_INVALID_ARGUMENT, lsp_weight_create(4, 4, LSP_F32, 32, &made));
    EXPECT_EQ(LSP_INVALID_ARGUMENT, lsp_weight_create(4, 4, LSP_INT8, 48, &made));
    EXPECT_EQ(LSP_INVALID_ARGUMENT, lsp_weight_create(4, 4, 9, 0, &made));
    EXPECT_EQ(LSP_INVALID_ARGUMENT, lsp_weight_create(int64_t{1} << 40, 4, LSP_F32, 0, &made));
    EXPECT_EQ(LSP_OUT_OF_MEMORY, lsp_weight_create((int64_t{1} << 31) - 1, (int64_t{1} << 31) - 1, LSP_F32, 0, &made));
    EXPECT_EQ(nullptr, made);
    ASSERT_EQ(LSP_OK, lsp_weight_create(40, 4, LSP_F32, 0, &made));
    const Weight weight(made, lsp_weight_destroy);
    const std::vector<float> values(400);
    EXPECT_EQ(LSP_INVALID_ARGUMENT, lsp_weight_write_f32(made, 1, 32, values.data()));
    EXPECT_EQ(LSP_INVALID_ARGUMENT, lsp_weight_write_f32(made, 0, 20, values.data()));
    EXPECT_EQ(LSP_INVALID_ARGUMENT, lsp_weight_write_f32(made, 32, 9, values.data()));
    EXPECT_EQ(LSP_OK, lsp_weight_write_f32(made, 32, 8, values.data()));
    EXPECT_EQ(LSP_INVALID_ARGUMENT, lsp_weight_write_stored(made, 1, 32, values.data(), nullptr));
    EXPECT_EQ(LSP_INVALID_ARGUMENT, lsp_weight_write_stored(made, 0, 32, nullptr, nullptr));
    EXPECT_EQ(LSP_OK, lsp_weight_write_stored(made, 32, 8, values.data(), nullptr));
    const Weight integers = random_weight(32, 4, kFormats[3], 1);
    EXPECT_EQ(LSP_INVALID_ARGUMENT, lsp_weight_write_stored(integers.get(), 0, 32, values.data(), nullptr));
}

// Every half comes back from float32, and every float32 between two of them goes to the nearer one.
TEST(NumericTest, HalvesRoundToNearestEven) {
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        const uint16_t half = static_cast<uint16_t>(bits);
        const float value = lsp::half_to_float(half);
        if ((bits & 0x7fff) > 0x7c00) {
            ASSERT_TRUE(std::isnan(value));
            ASSERT_TRUE(std::isnan(lsp::half_to_float(lsp::float_to_half(value))));
            continue;
        }
        ASSERT_EQ(half, lsp::float_to_half(value)) << bits;
        if ((bits & 0x7fff) >= 0x7bff) continue;
        const float next = lsp::half_to_float(static_cast<uint16_t>(bits + 1));
        const float middle = value + (next - value) / 2;
        ASSERT_EQ((bits & 1) != 0 ? bits + 1 : bits, lsp::float_to_half(middle)) << bits;
        ASSERT_EQ(bits, lsp::float_to_half(std::nextafter(middle, value))) << bits;
        ASSERT_EQ(bits + 1, lsp::float_to_half(std::nextafter(middle, next))) << bits;
    }
    EXPECT_EQ(0x7bff, lsp::float_to_half(65519.0f));
    EXPECT_EQ(0x7c00, lsp::float_to_half(65520.0f));
    EXPECT_EQ(0xfc00, lsp::float_to_half(-1e30f));
    EXPECT_EQ(0x3f80, lsp::float_to_bfloat(1.00390625f));
    EXPECT_EQ(0x3f82, lsp::float_to_bfloat(1.01171875f));
    EXPECT_TRUE(std::isnan(lsp::bfloat_to_float(lsp::float_to_bfloat(std::nanf("")))));
}
