// Missing barriers are found in every order, and kernels that are right are left alone.
#include "support.h"

namespace {

class RacesTest : public EmulatorTest, public testing::WithParamInterface<int> {
  protected:
    void SetUp() override {
        EmulatorTest::SetUp();
        lspEmulatorSetOrder(GetParam(), 3);
        lspEmulatorSetRaceCheck(1);
    }
    void TearDown() override {
        lspEmulatorSetRaceCheck(0);
        EmulatorTest::TearDown();
    }
};

}  // namespace

TEST_P(RacesTest, MissingBarrier) {
    const Buffer<float> y(128);
    CU(run("bug_missing_barrier", 3, 128, 512, y.at(), 1));
    for (int i = 0; i < 128; i++) ASSERT_EQ(float((i + 32) % 128), y.values()[size_t(i)]);
    EXPECT_EQ(CUDA_ERROR_LAUNCH_FAILED, run("bug_missing_barrier", 3, 128, 512, y.at(), 0));
    expect_text({"bug_missing_barrier", "block (", "thread ", "race for byte", "since the last barrier"});
}

TEST_P(RacesTest, MissingWarpBarrier) {
    const Buffer<float> y(128);
    CU(run("bug_missing_warp_barrier", 3, 128, 512, y.at(), 1));
    EXPECT_EQ(CUDA_ERROR_LAUNCH_FAILED, run("bug_missing_warp_barrier", 3, 128, 512, y.at(), 0));
    expect_text({"bug_missing_warp_barrier", "race for byte"});
}

TEST_P(RacesTest, OverwrittenBeforeAllHaveRead) {
    const Buffer<float> x(512), y(128);
    CU(run("bug_overwritten_stage", 3, 128, 2048, y.at(), x.at(), 1));
    EXPECT_EQ(CUDA_ERROR_LAUNCH_FAILED, run("bug_overwritten_stage", 3, 128, 2048, y.at(), x.at(), 0));
    expect_text({"bug_overwritten_stage", "race for byte"});
}

TEST_P(RacesTest, CopyThatWasNotWaitedFor) {
    const Buffer<float> x(256), y(256);
    CU(run("bug_wait_count", 1, 64, 2048, y.at(), x.at(), 0));
    EXPECT_EQ(CUDA_ERROR_LAUNCH_FAILED, run("bug_wait_count", 1, 64, 2048, y.at(), x.at(), 1));
    expect_text({"bug_wait_count", "reads what a cp_async16 of thread", "not waited for"});
}

TEST_P(RacesTest, AtomicOperationsRaceWithLoadsOnly) {
    const Buffer<int> y(64);
    const Buffer<int> total(std::vector<int>{0});
    CU(run("bug_atomic", 3, 64, 512, y.at(), total.at(), 1));
    for (const int count : y.values()) ASSERT_EQ(64, count);
    EXPECT_EQ(3, total.values()[0]);
    EXPECT_EQ(CUDA_ERROR_LAUNCH_FAILED, run("bug_atomic", 3, 64, 512, y.at(), total.at(), 0));
    expect_text({"bug_atomic", "race for byte 0 ", "since the last barrier"});
}

TEST_P(RacesTest, RightKernelsPass) {
    const Buffer<float> x(192 * 160), y(128 * 192);
    CU(run("test_row_sum", 5, 1024, 128, y.at(), x.at(), 777));
    CU(run("test_softmax", 3, 128, 0, y.at(), x.at(), 100));
    CU(run_grid("test_gemm_f16", {3, 2, 1}, 128, 2 * 128 * 40 * 2, y.at(), x.at(), x.at(), 192, 160));
    CU(run_grid("traffic_transpose_padded", {3, 2, 1}, 1024, 32 * 33 * 4, y.at(), x.at(), 64, 96));
    CU(run("test_transpose", 1, 32, 256, y.at(), x.at()));
    CU(run("traffic_copy", 5, 128, 2048, y.at(), x.at(), 1536));
}

INSTANTIATE_TEST_SUITE_P(Orders, RacesTest,
                         testing::Values(LSP_EMULATOR_FORWARD, LSP_EMULATOR_REVERSE, LSP_EMULATOR_RANDOM));
