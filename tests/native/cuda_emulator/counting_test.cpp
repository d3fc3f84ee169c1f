// The counters against numbers worked out by hand.
#include <set>

#include "support.h"

namespace {

class CountingTest : public EmulatorTest {
  protected:
    LspEmulatorCount end() {
        LspEmulatorCount counts[4];
        EXPECT_EQ(1, lspEmulatorCountEnd(counts, 4));
        return counts[0];
    }
};

}  // namespace

TEST_F(CountingTest, UncoalescedStore) {
    const Buffer<float> x(64 * 96), y(64 * 96);
    lspEmulatorCountBegin(0);
    CU(run_grid("traffic_transpose_naive", {3, 2, 1}, 1024, 0, y.at(), x.at(), 64, 96));
    const LspEmulatorCount c = end();
    EXPECT_STREQ("traffic_transpose_naive", c.kernel);
    EXPECT_EQ(1u, c.launches);
    EXPECT_EQ(6u, c.blocks);
    EXPECT_EQ(6u, c.counted_blocks);
    EXPECT_EQ(64u * 96 * 4, c.load_bytes);
    EXPECT_EQ(64u * 96 / 8, c.load_sectors);
    EXPECT_EQ(c.load_sectors, c.load_least_sectors);
    // A sector for each number: 12.5 % of it is used.
    EXPECT_EQ(64u * 96, c.store_sectors);
    EXPECT_EQ(64u * 96 / 8, c.store_least_sectors);
    EXPECT_EQ(64u * 96 / 8, c.store_different_sectors);
}

TEST_F(CountingTest, UncoalescedLoad) {
    const Buffer<float> x(random_values(64 * 96, 1)), y(64 * 96);
    lspEmulatorCountBegin(0);
    CU(run_grid("traffic_transpose_gather", {3, 2, 1}, 1024, 0, y.at(), x.at(), 64, 96));
    const LspEmulatorCount c = end();
    EXPECT_EQ(x.values()[7 * 96 + 5], y.values()[5 * 64 + 7]);
    EXPECT_EQ(64u * 96 * 4, c.load_bytes);
    EXPECT_EQ(64u * 96, c.load_sectors);
    EXPECT_EQ(64u * 96 / 8, c.load_least_sectors);
    // The blocks of a column of tiles use what each other fetched: no byte is needed that lies nowhere in x.
    EXPECT_EQ(64u * 96 / 8, c.load_different_sectors);
    EXPECT_EQ(c.store_least_sectors, c.store_sectors);
    // And the place in the code is named.
    LspEmulatorSite sites[4];
    ASSERT_EQ(2, lspEmulatorCountSites(sites, 4));
    const LspEmulatorSite& load = sites[0].access == 0 ? sites[0] : sites[1];
    EXPECT_EQ(0, load.access);
    EXPECT_EQ(8 * load.least_units, load.units);
}

TEST_F(CountingTest, BankConflicts) {
    const Buffer<float> x(64 * 96), y(64 * 96);
    lspEmulatorCountBegin(0);
    CU(run_grid("traffic_transpose", {3, 2, 1}, 1024, 4096, y.at(), x.at(), 64, 96));
    LspEmulatorCount c = end();
    const uint64_t warps = 6 * 32;
    EXPECT_EQ(2 * warps, c.shared_requests);
    EXPECT_EQ(2 * warps, c.shared_least_wavefronts);
    EXPECT_EQ((1 + 32) * warps, c.shared_wavefronts);
    EXPECT_EQ(c.store_least_sectors, c.store_sectors);
    LspEmulatorSite sites[8];
    ASSERT_EQ(4, lspEmulatorCountSites(sites, 8));
    int conflicts = 0;
    for (int i = 0; i < 4; i++) {
        EXPECT_EQ(warps, sites[i].requests);
        EXPECT_EQ(4, sites[i].lane_bytes);
        EXPECT_NE('\0', sites[i].place[0]);
        if (sites[i].units != sites[i].least_units) {
            conflicts++;
            EXPECT_EQ(2, sites[i].access);
            EXPECT_EQ(32 * warps, sites[i].units);
        }
    }
    EXPECT_EQ(1, conflicts);

    lspEmulatorCountBegin(0);
    CU(run_grid("traffic_transpose_padded", {3, 2, 1}, 1024, 32 * 33 * 4, y.at(), x.at(), 64, 96));
    c = end();
    EXPECT_EQ(2 * warps, c.shared_requests);
    EXPECT_EQ(c.shared_least_wavefronts, c.shared_wavefronts);
}

TEST_F(CountingTest, WideCopiesAndRepeatedReads) {
    const int n = 128 * 4 * 3, blocks = 5;
    const Buffer<float> x(n), y(n);
    lspEmulatorCountBegin(0);
    CU(run("traffic_copy", blocks, 128, 2048, y.at(), x.at(), n));
    CU(run("traffic_copy", blocks, 128, 2048, y.at(), x.at(), n));
    const LspEmulatorCount c = end();
    EXPECT_EQ(2u, c.launches);
    EXPECT_EQ(2u * blocks * n * 4, c.load_bytes);
    EXPECT_EQ(2u * blocks * n * 4, c.async_bytes);
    EXPECT_EQ(2u * blocks * n / 8, c.load_sectors);
    EXPECT_EQ(c.load_sectors, c.load_least_sectors);
    EXPECT_EQ(2u * n / 8, c.load_different_sectors);
    EXPECT_EQ(2u * n / 8, c.store_different_sectors);
    // 16 bytes a lane: a store and a load, four wavefronts each.
    EXPECT_EQ(2u * blocks * (n / 128) * 2, c.shared_requests);
    EXPECT_EQ(c.shared_requests * 4, c.shared_wavefronts);
    EXPECT_EQ(c.shared_wavefronts, c.shared_least_wavefronts);
}

TEST_F(CountingTest, MatrixLoadsAndProducts) {
    const Buffer<uint32_t> y(32);
    lspEmulatorCountBegin(0);
    CU(run("traffic_ldmatrix", 1, 32, 4096, y.at(), 16));
    LspEmulatorCount c = end();
    EXPECT_EQ(1u, c.mma_f16);
    EXPECT_EQ(0u, c.mma_s8);
    EXPECT_EQ(4u, c.shared_wavefronts);
    EXPECT_EQ(4u, c.shared_least_wavefronts);
    lspEmulatorCountBegin(0);
    CU(run("traffic_ldmatrix", 1, 32, 4096, y.at(), 128));
    c = end();
    // Eight rows in the same banks: one after the other.
    EXPECT_EQ(32u, c.shared_wavefronts);
    EXPECT_EQ(4u, c.shared_least_wavefronts);
}

TEST_F(CountingTest, AtomicOperations) {
    const Buffer<uint64_t> sums(std::vector<uint64_t>(32, 5));
    lspEmulatorCountBegin(0);
    CU(run("traffic_atomics", 1, 32, 128, sums.at()));
    const LspEmulatorCount c = end();
    EXPECT_EQ(std::vector<uint64_t>(32, 6), sums.values());
    // Read and written.
    EXPECT_EQ(256u, c.load_bytes);
    EXPECT_EQ(256u, c.store_bytes);
    EXPECT_EQ(8u, c.load_sectors);
    EXPECT_EQ(8u, c.store_sectors);
    EXPECT_EQ(8u, c.load_different_sectors);
    EXPECT_EQ(8u, c.store_different_sectors);
    // The lanes change one word one after the other: with the store and the 32 words, 1 + 32 + 1.
    EXPECT_EQ(3u, c.shared_requests);
    EXPECT_EQ(34u, c.shared_wavefronts);
    EXPECT_EQ(3u, c.shared_least_wavefronts);
}

TEST_F(CountingTest, SampleOfBlocks) {
    const int n = 512;
    const Buffer<float> x(n), y(n);
    lspEmulatorCountBegin(4);
    CU(run("traffic_copy", 100, 128, 2048, y.at(), x.at(), n));
    const LspEmulatorCount c = end();
    EXPECT_EQ(100u, c.blocks);
    EXPECT_EQ(4u, c.counted_blocks);
    EXPECT_EQ(4u * n * 4, c.load_bytes);
}

TEST_F(CountingTest, OnlySomeBlocksRun) {
    const int blocks = 100, most = 7;
    const Buffer<float> x(std::vector<float>(blocks * 32, 1.0f)), y(std::vector<float>(blocks * 32, 0.0f));
    lspEmulatorRunOnly(most);
    lspEmulatorCountBegin(0);
    CU(run("test_increment", blocks, 32, 0, y.at(), x.at(), blocks * 32));
    LspEmulatorCount c = end();
    EXPECT_EQ(100u, c.blocks);
    EXPECT_EQ(uint64_t(most), c.counted_blocks);
    EXPECT_EQ(most * 32u * 4, c.load_bytes);
    const std::vector<float> partly = y.values();
    // One block in each seventh of the grid.
    for (int part = 0, block = 0; part < most; part++) {
        int run = 0;
        for (; block * most < (part + 1) * blocks; block++) run += partly[size_t(block) * 32] == 2 ? 1 : 0;
        EXPECT_EQ(1, run) << part;
    }
    // Of those that run, some are counted.
    lspEmulatorCountBegin(3);
    CU(run("test_increment", blocks, 32, 0, y.at(), x.at(), blocks * 32));
    c = end();
    EXPECT_EQ(100u, c.blocks);
    EXPECT_EQ(3u, c.counted_blocks);
    lspEmulatorRunOnly(0);
    CU(run("test_increment", blocks, 32, 0, y.at(), x.at(), blocks * 32));
    EXPECT_EQ(std::vector<float>(blocks * 32, 2.0f), y.values());
}

TEST_F(CountingTest, ColumnsOfASampleDiffer) {
    const Buffer<int> out(64 * 64 * 32 * 4);
    const Buffer<float> in(std::vector<float>{1.0f});
    std::vector<int> nothing(64 * 64 * 32 * 4, -1);
    CU(cuMemcpyHtoD_v2(out.at(), nothing.data(), nothing.size() * sizeof(int)));
    lspEmulatorRunOnly(16);
    CU(run_grid("test_identity", {64, 64, 1}, 32, 0, out.at(), 1.0f, in.at(), 0, int64_t{0}, 0.0f));
    lspEmulatorRunOnly(0);
    const std::vector<int> values = out.values();
    std::set<int> columns, rows;
    for (int block = 0; block < 64 * 64; block++) {
        if (values[size_t(block) * 32 * 4] != block) continue;
        columns.insert(block % 64);
        rows.insert(block / 64);
    }
    // 256 blocks apart, all would be in column 0.
    EXPECT_EQ(16u, rows.size());
    EXPECT_GE(columns.size(), 12u);
}

TEST_F(CountingTest, NothingIsCountedUnasked) {
    const Buffer<float> x(512), y(512);
    lspEmulatorCountBegin(0);
    EXPECT_EQ(0, lspEmulatorCountEnd(nullptr, 0));
    CU(run("traffic_copy", 1, 128, 2048, y.at(), x.at(), 512));
    EXPECT_EQ(0, lspEmulatorCountEnd(nullptr, 0));
}
