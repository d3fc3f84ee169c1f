// Kernels whose result a plain loop knows, in every order of blocks, warps and lanes.
#include <cmath>

#include "common/types.cuh"
#include "support.h"

namespace {

class OrderTest : public EmulatorTest, public testing::WithParamInterface<int> {
  protected:
    void SetUp() override {
        EmulatorTest::SetUp();
        lspEmulatorSetOrder(GetParam(), 7);
    }
};

}  // namespace

TEST_P(OrderTest, BlockReduction) {
    for (const int threads : {32, 96, 256, 1024}) {
        const int rows = 5, n = 777;
        const auto x = random_values(rows * n, 1);
        const Buffer<float> in(x), out(rows);
        CU(run("test_row_sum", rows, unsigned(threads), 128, out.at(), in.at(), n));
        const auto y = out.values();
        for (int row = 0; row < rows; row++) {
            double sum = 0;
            for (int i = 0; i < n; i++) sum += x[row * n + i];
            ASSERT_TRUE(std::abs(sum - y[row]) < 1e-4) << y[row] << " instead of " << sum;
        }
    }
}

TEST_P(OrderTest, WarpSoftmax) {
    const int rows = 12, n = 100;
    const auto x = random_values(rows * n, 2, 10);
    const Buffer<float> in(x), out(x.size());
    CU(run("test_softmax", rows / 4, 128, 0, out.at(), in.at(), n));
    const auto y = out.values();
    for (int row = 0; row < rows; row++) {
        double sum = 0;
        for (int i = 0; i < n; i++) sum += std::exp(double(x[row * n + i]));
        for (int i = 0; i < n; i++) {
            const double expected = std::exp(double(x[row * n + i])) / sum;
            ASSERT_TRUE(std::abs(expected - y[row * n + i]) < 1e-6) << y[row * n + i] << " instead of " << expected;
        }
    }
}

TEST_P(OrderTest, TensorCoreGemm) {
    const int m = 128, n = 192, k = 160;
    std::vector<uint16_t> a, b;
    for (const float value : random_values(m * k, 3)) a.push_back(emulator::float_to_half(value));
    for (const float value : random_values(n * k, 4)) b.push_back(emulator::float_to_half(value));
    const Buffer<uint16_t> left(a), right(b);
    const Buffer<float> out(m * n);
    CU(run_grid("test_gemm_f16", {n / 64, m / 64, 1}, 128, 2 * 128 * 40 * 2, out.at(), left.at(), right.at(), n, k));
    const auto c = out.values();
    for (int i = 0; i < m; i++) {
        for (int j = 0; j < n; j++) {
            double sum = 0;
            for (int l = 0; l < k; l++) {
                sum += double(emulator::half_to_float(a[i * k + l])) * emulator::half_to_float(b[j * k + l]);
            }
            ASSERT_TRUE(std::abs(sum - c[i * n + j]) < 1e-4) << i << ", " << j << ": " << c[i * n + j] << ", " << sum;
        }
    }
}

TEST_P(OrderTest, ByteMma) {
    std::mt19937 random(5);
    std::vector<int8_t> a(16 * 32), b(8 * 32);
    for (int8_t& value : a) value = int8_t(random());
    for (int8_t& value : b) value = int8_t(random());
    const Buffer<int8_t> left(a), right(b);
    const Buffer<int> out(16 * 8);
    CU(run("test_mma_s8", 1, 32, 0, out.at(), left.at(), right.at()));
    const auto c = out.values();
    for (int i = 0; i < 16; i++) {
        for (int j = 0; j < 8; j++) {
            int sum = 0;
            for (int l = 0; l < 32; l++) sum += a[i * 32 + l] * b[j * 32 + l];
            ASSERT_EQ(sum, c[i * 8 + j]);
        }
    }
}

TEST_P(OrderTest, BfloatMma) {
    // Integers of at most 8 bits are exact in bf16; scaled by 2^60 their products are far beyond the range of halves.
    std::mt19937 random(6);
    const float scale = 1152921504606846976.0f;
    std::vector<float> a(16 * 16), b(8 * 16);
    for (float& value : a) value = float(int(random() % 511) - 255) * scale;
    for (float& value : b) value = float(int(random() % 511) - 255);
    const Buffer<float> left(a), right(b), out(16 * 8);
    CU(run("test_mma_bf16", 1, 32, 0, out.at(), left.at(), right.at()));
    const auto c = out.values();
    for (int i = 0; i < 16; i++) {
        for (int j = 0; j < 8; j++) {
            float sum = 0;
            for (int l = 0; l < 16; l++) sum += a[i * 16 + l] * b[j * 16 + l];
            ASSERT_EQ(sum, c[i * 8 + j]);
        }
    }
}

TEST_P(OrderTest, BfloatsRoundToNearestEven) {
    std::vector<float> x;
    std::vector<uint16_t> expected;
    const auto add = [&](uint32_t bits, uint32_t rounded) {
        float value;
        memcpy(&value, &bits, 4);
        x.push_back(value);
        expected.push_back(uint16_t(rounded));
    };
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        if ((bits & 0x7fff) > 0x7f80) {
            add(bits << 16, 0x7fff);
            continue;
        }
        add(bits << 16, bits);
        if ((bits & 0x7fff) == 0x7f80) {
            add(bits << 16 | 1, 0x7fff);  // a NaN whose bits are all in the lower half
            continue;
        }
        add(bits << 16 | 0x7fff, bits);
        add(bits << 16 | 0x8000, bits + bits % 2);
        add(bits << 16 | 0x8001, bits + 1);
    }
    const int n = int(x.size());
    const Buffer<float> in(x), back(n);
    const Buffer<uint16_t> out(n);
    CU(run("test_bf16", 4, 256, 0, out.at(), back.at(), in.at(), n));
    const auto bits = out.values();
    const auto values = back.values();
    for (int i = 0; i < n; i++) {
        ASSERT_EQ(expected[i], bits[i]) << x[i];
        uint32_t whole;
        memcpy(&whole, &values[i], 4);
        ASSERT_EQ(uint32_t(expected[i]) << 16, whole) << x[i];
    }
}

TEST_P(OrderTest, TransposedMatrices) {
    std::vector<uint16_t> x(8 * 16);
    for (size_t i = 0; i < x.size(); i++) x[i] = uint16_t(i);
    const Buffer<uint16_t> in(x), out(x.size());
    CU(run("test_transpose", 1, 32, 256, out.at(), in.at()));
    const auto y = out.values();
    for (int i = 0; i < 8; i++) {
        for (int j = 0; j < 16; j++) ASSERT_EQ(x[i * 16 + j], y[j * 8 + i]);
    }
}

TEST_P(OrderTest, IdentityAndParameters) {
    const Buffer<float> in(std::vector<float>{3});
    const Buffer<int> out(2 * 3 * 2 * 64 * 4);
    CU(run_grid("test_identity", {2, 3, 2}, 64, 0, out.at(), 2.0f, in.at(), 5, int64_t{1000}, 0.25f));
    const auto values = out.values();
    for (int block = 0; block < 12; block++) {
        for (int thread = 0; thread < 64; thread++) {
            const int* mine = values.data() + (block * 64 + thread) * 4;
            ASSERT_EQ(block, mine[0]);
            ASSERT_EQ(int(0xaaaaaaaau), mine[1]);
            ASSERT_EQ((thread + 1) % 32 * 10, mine[2]);
            ASSERT_EQ(1011, mine[3]);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Orders, OrderTest,
                         testing::Values(LSP_EMULATOR_FORWARD, LSP_EMULATOR_REVERSE, LSP_EMULATOR_RANDOM));

TEST(Halves, EveryValueSurvivesAndRoundsToNearestEven) {
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        const uint32_t magnitude = bits & 0x7fff;
        const float value = emulator::half_to_float(uint16_t(bits));
        if (magnitude > 0x7c00) {
            EXPECT_TRUE(std::isnan(value));
            EXPECT_EQ(0x7fff, emulator::float_to_half(value));
            continue;
        }
        EXPECT_EQ(bits, emulator::float_to_half(value));
        if (magnitude >= 0x7bff || (bits & 0x8000) != 0) continue;
        const float next = emulator::half_to_float(uint16_t(bits + 1)), middle = (value + next) / 2;
        EXPECT_EQ(bits % 2 == 0 ? bits : bits + 1, emulator::float_to_half(middle));
        EXPECT_EQ(bits, emulator::float_to_half(std::nextafter(middle, 0.0f)));
        EXPECT_EQ(bits + 1, emulator::float_to_half(std::nextafter(middle, 1e9f)));
    }
    EXPECT_EQ(0x7c00, emulator::float_to_half(65520));
    EXPECT_EQ(0x7bff, emulator::float_to_half(65519.99f));
    EXPECT_EQ(0xfc00, emulator::float_to_half(-1e30f));
    EXPECT_EQ(0, emulator::float_to_half(2.98e-8f));
    EXPECT_EQ(1, emulator::float_to_half(2.99e-8f));
}
