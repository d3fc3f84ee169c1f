// What the modelled second-level cache lets through to memory, against numbers worked out by hand.
#include "support.h"

namespace {

class CacheTest : public EmulatorTest {
  protected:
    void TearDown() override {
        lspEmulatorCountCache(0);
        EmulatorTest::TearDown();
    }
    static LspEmulatorCount end() {
        LspEmulatorCount counts[4];
        EXPECT_EQ(1, lspEmulatorCountEnd(counts, 4));
        return counts[0];
    }
    // What `passes` over `bytes` move with a cache of so many bytes.
    LspEmulatorCount stream(uint64_t cache, int bytes, int passes) {
        const Buffer<float> x(size_t(bytes) / 4), y(32);
        lspEmulatorCountCache(cache);
        lspEmulatorCountBegin(0);
        EXPECT_EQ(CUDA_SUCCESS, run("traffic_passes", 1, 32, 0, y.at(), x.at(), bytes / 4, passes));
        return end();
    }
};

constexpr int kKilo = 1024;

}  // namespace

TEST_F(CacheTest, StreamThatFitsIsReadOnce) {
    const LspEmulatorCount c = stream(64 * kKilo, 32 * kKilo, 3);
    EXPECT_EQ(3u * 32 * kKilo, c.load_bytes);
    EXPECT_EQ(32u * kKilo, c.memory_read_bytes);
    // 32 numbers of y: whole sectors need not be read before.
    EXPECT_EQ(128u, c.memory_written_bytes);
}

TEST_F(CacheTest, StreamThatDoesNotFitIsReadEveryTime) {
    const LspEmulatorCount c = stream(64 * kKilo, 256 * kKilo, 2);
    EXPECT_EQ(2u * 256 * kKilo, c.memory_read_bytes);
    EXPECT_EQ(256u * kKilo / 32, c.load_different_sectors);
}

TEST_F(CacheTest, ColdForEveryLaunch) {
    const Buffer<float> x(8 * kKilo), y(32);
    lspEmulatorCountCache(uint64_t{1} << 20);
    lspEmulatorCountBegin(0);
    for (int i = 0; i < 3; i++) CU(run("traffic_passes", 1, 32, 0, y.at(), x.at(), 8 * kKilo, 2));
    EXPECT_EQ(3u * 32 * kKilo, end().memory_read_bytes);
}

TEST_F(CacheTest, NoneUnlessAsked) { EXPECT_EQ(0u, stream(0, 32 * kKilo, 1).memory_read_bytes); }

TEST_F(CacheTest, PartialSumsStayOrComeBack) {
    const int blocks = 8, n = 256;
    const Buffer<float> partial(blocks * n), y(32);
    // All sums fit: they are written back in the end and never read.
    lspEmulatorCountCache(64 * kKilo);
    lspEmulatorCountBegin(0);
    CU(run("traffic_partial_sums", blocks, 32, 0, y.at(), partial.at(), n));
    LspEmulatorCount c = end();
    EXPECT_EQ(0u, c.memory_read_bytes);
    EXPECT_EQ(uint64_t(blocks * n * 4 + 128), c.memory_written_bytes);
    // One set of 16 lines, of which the last two rows are the only ones that stay; reading the first ones drives them
    // out.
    lspEmulatorCountCache(2 * kKilo);
    lspEmulatorCountBegin(0);
    CU(run("traffic_partial_sums", blocks, 32, 0, y.at(), partial.at(), n));
    c = end();
    EXPECT_EQ(uint64_t(blocks * n * 4), c.memory_read_bytes);
    EXPECT_EQ(uint64_t(blocks * n * 4 + 128), c.memory_written_bytes);
}

TEST_F(CacheTest, SectorsInPieces) {
    const Buffer<float> x(64 * 96), y(64 * 96);
    const uint64_t numbers = 64 * 96;
    // The warps fill sectors one number at a time, all of them in the cache.
    lspEmulatorCountCache(64 * kKilo);
    lspEmulatorCountBegin(0);
    CU(run_grid("traffic_transpose_naive", {3, 2, 1}, 1024, 0, y.at(), x.at(), 64, 96));
    LspEmulatorCount c = end();
    EXPECT_EQ(numbers * 4, c.memory_read_bytes);
    EXPECT_EQ(numbers * 4, c.memory_written_bytes);
    // 32 lines a store in a cache of 16: each number is merged into its sector in memory.
    lspEmulatorCountCache(2 * kKilo);
    lspEmulatorCountBegin(0);
    CU(run_grid("traffic_transpose_naive", {3, 2, 1}, 1024, 0, y.at(), x.at(), 64, 96));
    c = end();
    EXPECT_EQ(numbers * 4 + numbers * 32, c.memory_read_bytes);
    EXPECT_EQ(numbers * 32, c.memory_written_bytes);
}

TEST_F(CacheTest, AsynchronousCopiesOfManyBlocks) {
    const int n = 128 * 4 * 3, blocks = 5;
    const Buffer<float> x(n), y(n);
    lspEmulatorCountCache(64 * kKilo);
    lspEmulatorCountBegin(0);
    CU(run("traffic_copy", blocks, 128, 2048, y.at(), x.at(), n));
    const LspEmulatorCount c = end();
    EXPECT_EQ(uint64_t(blocks) * n * 4, c.load_bytes);
    EXPECT_EQ(uint64_t(n) * 4, c.memory_read_bytes);
    EXPECT_EQ(uint64_t(n) * 4, c.memory_written_bytes);
}
