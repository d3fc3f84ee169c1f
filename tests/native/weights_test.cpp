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
