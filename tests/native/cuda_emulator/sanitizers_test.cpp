// What a build with AddressSanitizer or ThreadSanitizer finds beyond the emulator's own checks: bugs in plain accesses,
// without the helpers. Of each bug there is a form without it, which must pass.
#include "reports.h"
#include "support.h"

#if defined(__SANITIZE_ADDRESS__)

namespace {

class AddressSanitizerTest : public EmulatorTest {
  protected:
    void SetUp() override {
        EmulatorTest::SetUp();
        GTEST_FLAG_SET(death_test_style, "threadsafe");
    }
};

}  // namespace

TEST_F(AddressSanitizerTest, StoreJustBehindAnAllocation) {
    const Buffer<float> y(64);
    CU(run("bug_plain_store", 1, 64, 0, y.at(), 63, 5));
    EXPECT_DEATH(run("bug_plain_store", 1, 64, 0, y.at(), 64, 5), "use-after-poison");
}

TEST_F(AddressSanitizerTest, ArrayOnTheStack) {
    const Buffer<float> y(32);
    CU(run("bug_stack_array", 1, 32, 0, y.at(), 7));
    EXPECT_DEATH(run("bug_stack_array", 1, 32, 0, y.at(), 8), "stack-buffer-overflow");
}

TEST_F(AddressSanitizerTest, SharedMemoryBehindTheBlocksOwn) {
    const Buffer<float> y(32);
    CU(run("bug_plain_shared", 1, 32, 100, y.at(), 24));
    EXPECT_DEATH(run("bug_plain_shared", 1, 32, 100, y.at(), 25), "use-after-poison");
}

#elif defined(__SANITIZE_THREAD__)

namespace {

class ThreadSanitizerTest : public EmulatorTest, public testing::WithParamInterface<int> {
  protected:
    void SetUp() override {
        EmulatorTest::SetUp();
        lspEmulatorSetOrder(GetParam(), 3);
    }
    /// Races that a launch shows.
    template <typename... T>
    int races(const char* name, unsigned blocks, unsigned threads, unsigned shared_bytes, T... values) {
        const int before = thread_sanitizer_reports();
        EXPECT_EQ(CUDA_SUCCESS, run(name, blocks, threads, shared_bytes, values...)) << lspEmulatorLastError();
        return thread_sanitizer_reports() - before;
    }
};

}  // namespace

TEST_P(ThreadSanitizerTest, MissingBarrier) {
    const Buffer<float> y(3 * 64);
    EXPECT_EQ(0, races("bug_plain_missing_barrier", 3, 64, 256, y.at(), 32, 2));
    EXPECT_LT(0, races("bug_plain_missing_barrier", 1, 64, 256, y.at(), 32, 1));
    EXPECT_LT(0, races("bug_plain_missing_barrier", 1, 64, 256, y.at(), 32, 0));
}

TEST_P(ThreadSanitizerTest, MissingWarpBarrier) {
    const Buffer<float> y(3 * 32);
    EXPECT_EQ(0, races("bug_plain_missing_barrier", 3, 32, 128, y.at(), 1, 1));
    EXPECT_LT(0, races("bug_plain_missing_barrier", 3, 32, 128, y.at(), 1, 0));
}

TEST_P(ThreadSanitizerTest, CopyOfAnotherThread) {
    const Buffer<float> x(256), y(64);
    EXPECT_EQ(0, races("bug_plain_copy_without_barrier", 1, 64, 1024, y.at(), x.at(), 1));
    EXPECT_LT(0, races("bug_plain_copy_without_barrier", 1, 64, 1024, y.at(), x.at(), 0));
}

TEST_P(ThreadSanitizerTest, MatricesOfOtherLanes) {
    const Buffer<uint32_t> y(32);
    EXPECT_EQ(0, races("bug_plain_ldmatrix", 1, 32, 512, y.at(), 1));
    EXPECT_LT(0, races("bug_plain_ldmatrix", 1, 32, 512, y.at(), 0));
}

TEST_P(ThreadSanitizerTest, BlocksThatWriteOneNumber) {
    const Buffer<float> y(1);
    EXPECT_EQ(0, races("bug_blocks_write_one", 1, 64, 0, y.at(), 1));
    EXPECT_LT(0, races("bug_blocks_write_one", 4, 64, 0, y.at(), 1));
    // The same fiber stack and number of thread, another thread.
    EXPECT_LT(0, races("bug_blocks_write_one", 4, 64, 0, y.at(), 0));
}

TEST_P(ThreadSanitizerTest, LastBlockReadsWhatOthersWrote) {
    const Buffer<float> y(64), partial(5 * 64);
    const Buffer<int> counters(std::vector<int>(2, 0));
    EXPECT_EQ(0, races("bug_last_block", 5, 64, 16, y.at(), partial.at(), counters.at(0), 1));
    EXPECT_EQ(std::vector<float>(64, 5.0f), y.values());
    EXPECT_LT(0, races("bug_last_block", 5, 64, 16, y.at(), partial.at(), counters.at(1), 0));
}

TEST_P(ThreadSanitizerTest, LaunchesAreOrdered) {
    const Buffer<float> x(std::vector<float>(512, 1.0f)), y(512);
    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(0, races("test_increment", 8, 64, 0, y.at(), x.at(), 512));
        EXPECT_EQ(0, races("test_increment", 16, 32, 0, x.at(), y.at(), 512));
    }
    EXPECT_EQ(std::vector<float>(512, 5.0f), x.values());
}

INSTANTIATE_TEST_SUITE_P(Orders, ThreadSanitizerTest,
                         testing::Values(LSP_EMULATOR_FORWARD, LSP_EMULATOR_REVERSE, LSP_EMULATOR_RANDOM));

#endif
