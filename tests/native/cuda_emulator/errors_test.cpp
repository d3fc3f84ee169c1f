// Every planted bug is found, and told with kernel, block and thread.
#include <cmath>

#include "support.h"

namespace {

class ErrorsTest : public EmulatorTest {};

}  // namespace

TEST_F(ErrorsTest, GlobalStoreBehindTheEnd) {
    const Buffer<float> y(64), other(64);
    EXPECT_EQ(CUDA_SUCCESS, run("bug_store_behind", 1, 64, 0, y.at(), 64, -1));
    EXPECT_EQ(CUDA_ERROR_ILLEGAL_ADDRESS, run("bug_store_behind", 3, 64, 0, y.at(), 64, 9));
    expect_text({"bug_store_behind", "block (", "thread 9", "out-of-bounds store of 4 bytes",
                 "0 bytes behind the end of the allocation of 256 bytes"});
}

TEST_F(ErrorsTest, GlobalLoadBeforeTheStart) {
    const Buffer<float> y(64);
    EXPECT_EQ(CUDA_ERROR_ILLEGAL_ADDRESS, run("bug_load_before", 1, 64, 0, y.at(), 40));
    expect_text({"bug_load_before", "block (0, 0, 0)", "thread 40", "out-of-bounds load of 4 bytes",
                 "4 bytes before the allocation of 256 bytes"});
}

TEST_F(ErrorsTest, MemoryThatWasFreed) {
    CUdeviceptr pointer;
    CU(cuMemAlloc_v2(&pointer, 1 << 20));
    CU(cuMemFree_v2(pointer));
    EXPECT_EQ(CUDA_ERROR_ILLEGAL_ADDRESS, run("bug_store_behind", 1, 64, 0, pointer, 64, -1));
}

TEST_F(ErrorsTest, PlainStoreOutOfBounds) {
    const Buffer<float> y(64);
    EXPECT_EQ(CUDA_SUCCESS, run("bug_plain_store", 2, 64, 0, y.at(), 63, 5));
    EXPECT_EQ(CUDA_ERROR_ILLEGAL_ADDRESS, run("bug_plain_store", 2, 64, 0, y.at(), 4096, 5));
    expect_text({"bug_plain_store", "block (", "thread 5", "out-of-bounds access", "behind the end"});
    lspEmulatorClearError();
    EXPECT_EQ(CUDA_ERROR_ILLEGAL_ADDRESS, run("bug_plain_store", 2, 64, 0, CUdeviceptr{16}, 0, 5));
    expect_text({"thread 5", "not device memory"});
    lspEmulatorClearError();
    EXPECT_EQ(CUDA_SUCCESS, run("bug_plain_store", 2, 64, 0, y.at(), 0, 5));
}

TEST_F(ErrorsTest, StackOverflow) {
    const Buffer<float> y(1);
    EXPECT_EQ(CUDA_SUCCESS, run("bug_deep_stack", 1, 32, 0, y.at(), 10));
    EXPECT_EQ(CUDA_ERROR_ILLEGAL_ADDRESS, run("bug_deep_stack", 1, 32, 0, y.at(), 1000));
    expect_text({"bug_deep_stack", "thread 7", "stack overflows"});
}

TEST_F(ErrorsTest, MisalignedVectorLoad) {
    const Buffer<float> y(300);
    EXPECT_EQ(CUDA_ERROR_MISALIGNED_ADDRESS, run("bug_misaligned_load", 1, 64, 0, y.at(), 33));
    expect_text({"bug_misaligned_load", "thread 33", "misaligned load of 16 bytes"});
}

TEST_F(ErrorsTest, MisalignedLdmatrix) {
    const Buffer<uint32_t> y(64);
    EXPECT_EQ(CUDA_ERROR_MISALIGNED_ADDRESS, run("bug_misaligned_ldmatrix", 1, 64, 1024, y.at(), 33));
    expect_text({"bug_misaligned_ldmatrix", "thread 33", "misaligned load of 16 bytes", "shared memory at byte 24"});
}

TEST_F(ErrorsTest, SharedMemoryOutOfBounds) {
    EXPECT_EQ(CUDA_SUCCESS, run("bug_shared_behind", 1, 64, 256, -1));
    EXPECT_EQ(CUDA_ERROR_ILLEGAL_ADDRESS, run("bug_shared_behind", 1, 64, 256, 12));
    expect_text({"bug_shared_behind", "thread 12", "out-of-bounds store of 4 bytes", "byte 256 of 256"});
}

TEST_F(ErrorsTest, AsynchronousCopyOutOfBounds) {
    const Buffer<float> x(256);
    EXPECT_EQ(CUDA_ERROR_ILLEGAL_ADDRESS, run("bug_cp_async_behind", 1, 64, 1024, x.at(), 256, 60));
    expect_text({"bug_cp_async_behind", "thread 60", "out-of-bounds load of 16 bytes"});
}

TEST_F(ErrorsTest, AsynchronousCopyNotWaitedForIsNaN) {
    const Buffer<float> x(std::vector<float>(256, 1.0f)), y(256);
    CU(run("bug_wait_count", 1, 64, 2048, y.at(), x.at(), 0));
    for (const float value : y.values()) ASSERT_EQ(1.0f, value);
    CU(run("bug_wait_count", 1, 64, 2048, y.at(), x.at(), 1));
    for (const float value : y.values()) ASSERT_TRUE(std::isnan(value));
}

TEST_F(ErrorsTest, AtomicOperationOutOfPlace) {
    const Buffer<int> total(std::vector<int>{7, 7});
    CU(run("bug_atomic_place", 2, 32, 0, total.at(), 4));
    EXPECT_EQ((std::vector<int>{7, 9}), total.values());
    EXPECT_EQ(CUDA_ERROR_ILLEGAL_ADDRESS, run("bug_atomic_place", 1, 32, 0, total.at(), 8));
    expect_text({"bug_atomic_place", "thread 5", "out-of-bounds atomic operation of 4 bytes on global memory"});
    lspEmulatorClearError();
    EXPECT_EQ(CUDA_ERROR_MISALIGNED_ADDRESS, run("bug_atomic_place", 1, 32, 0, total.at(), 2));
    expect_text({"thread 5", "misaligned atomic operation"});
}

TEST_F(ErrorsTest, DivergentBarrier) {
    EXPECT_EQ(CUDA_ERROR_LAUNCH_FAILED, run("bug_divergent_barrier", 2, 96, 0, 40));
    expect_text({"bug_divergent_barrier", "block (", "threads 0 to 39 wait at barrier", "thread 40 has returned",
                 "threads 41 to 95 wait at barrier"});
}

TEST_F(ErrorsTest, LaneMissingInACollective) {
    const Buffer<float> y(96);
    EXPECT_EQ(CUDA_ERROR_LAUNCH_FAILED, run("bug_missing_lane", 1, 96, 0, y.at(), 40));
    expect_text({"bug_missing_lane", "block (0, 0, 0)", "threads 32 to 39 wait at shuffle", "thread 40 has returned"});
}

TEST_F(ErrorsTest, WarpThatIsNotFull) {
    const Buffer<float> y(96);
    EXPECT_EQ(CUDA_ERROR_LAUNCH_FAILED, run("bug_missing_lane", 1, 40, 0, y.at(), -1));
    expect_text({"threads 32 to 39 wait at shuffle", "the last warp has 8 lanes only"});
}

TEST_F(ErrorsTest, LanesInDifferentCollectives) {
    const Buffer<float> y(64);
    EXPECT_EQ(CUDA_ERROR_LAUNCH_FAILED, run("bug_mixed_collectives", 1, 64, 0, y.at(), 40));
    expect_text({"bug_mixed_collectives", "thread 40", "calls ballot", "wait at shuffle"});
}

TEST_F(ErrorsTest, SharedMemoryStartsAsNaNInEveryBlock) {
    const Buffer<uint32_t> y(64);
    for (int i = 0; i < 2; i++) CU(run("bug_misaligned_ldmatrix", 1, 64, 1024, y.at(), -1));
    for (const uint32_t value : y.values()) ASSERT_EQ(0xffffffffu, value);
}

TEST_F(ErrorsTest, FreshDeviceMemoryIsNaN) {
    const Buffer<float> y(5000);
    for (const float value : y.values()) ASSERT_TRUE(std::isnan(value));
}

TEST_F(ErrorsTest, FailedLaunchStaysUntilReset) {
    const Buffer<float> y(64);
    ASSERT_EQ(CUDA_ERROR_ILLEGAL_ADDRESS, run("bug_store_behind", 1, 64, 0, y.at(), 64, 1));
    CUdeviceptr pointer;
    EXPECT_EQ(CUDA_ERROR_ILLEGAL_ADDRESS, cuMemAlloc_v2(&pointer, 4));
    EXPECT_EQ(CUDA_ERROR_INVALID_VALUE, cuMemFree_v2(y.at(1)));
    EXPECT_EQ(CUDA_ERROR_ILLEGAL_ADDRESS, cuCtxSynchronize());
    expect_text({"bug_store_behind", "thread 1"});
    lspEmulatorClearError();
    EXPECT_EQ(CUDA_SUCCESS, cuCtxSynchronize());
}

TEST_F(ErrorsTest, UnknownKernelAndImage) {
    CUfunction result;
    EXPECT_EQ(CUDA_ERROR_NOT_FOUND, cuModuleGetFunction(&result, module, "no_such_kernel"));
    expect_text({"no_such_kernel"});
    EXPECT_EQ(CUDA_ERROR_INVALID_IMAGE, cuModuleLoadData(&module,
                                                         "\x7f"
                                                         "ELF----"));
    Parameters none;
    EXPECT_EQ(CUDA_ERROR_INVALID_HANDLE, cuLaunchKernel(nullptr, 1, 1, 1, 32, 1, 1, 0, nullptr, nullptr, none.extra));
}

TEST_F(ErrorsTest, LimitsOfGridAndBlock) {
    EXPECT_EQ(CUDA_SUCCESS, run_grid("test_no_parameters", {1, 1, 1}, 1024, 0));
    EXPECT_EQ(CUDA_ERROR_INVALID_VALUE, run_grid("test_no_parameters", {1, 1, 1}, 1056, 0));
    expect_text({"test_no_parameters", "1056 threads"});
    EXPECT_EQ(CUDA_ERROR_INVALID_VALUE, run_grid("test_no_parameters", {1, 1, 1}, 0, 0));
    EXPECT_EQ(CUDA_ERROR_INVALID_VALUE, run_grid("test_no_parameters", {0, 1, 1}, 32, 0));
    EXPECT_EQ(CUDA_ERROR_INVALID_VALUE, run_grid("test_no_parameters", {1, 65536, 1}, 32, 0));
    EXPECT_EQ(CUDA_ERROR_INVALID_VALUE, run_grid("test_no_parameters", {1, 1, 65536}, 32, 0));
    EXPECT_EQ(CUDA_SUCCESS, cuCtxSynchronize());
}

TEST_F(ErrorsTest, LaunchBound) {
    const Buffer<float> y(512);
    EXPECT_EQ(CUDA_SUCCESS, run("bug_store_behind", 1, 256, 0, y.at(), 256, -1));
    EXPECT_EQ(CUDA_ERROR_INVALID_VALUE, run("bug_store_behind", 1, 288, 0, y.at(), 288, -1));
    expect_text({"bug_store_behind", "288 threads", "launch bound is 256"});
}

TEST_F(ErrorsTest, LimitOfSharedMemory) {
    const CUfunction kernel = function("test_no_parameters");
    EXPECT_EQ(CUDA_SUCCESS, run("test_no_parameters", 1, 32, 48 * 1024));
    EXPECT_EQ(CUDA_ERROR_INVALID_VALUE, run("test_no_parameters", 1, 32, 48 * 1024 + 16));
    expect_text({"49168 bytes of shared memory, its limit is 49152"});
    constexpr int kMaxDynamicShared = 8;
    EXPECT_EQ(CUDA_ERROR_INVALID_VALUE, cuFuncSetAttribute(kernel, kMaxDynamicShared, 100 * 1024));
    EXPECT_EQ(CUDA_SUCCESS, cuFuncSetAttribute(kernel, kMaxDynamicShared, 99 * 1024));
    EXPECT_EQ(CUDA_SUCCESS, run("test_no_parameters", 1, 32, 99 * 1024));
    EXPECT_EQ(CUDA_SUCCESS, cuFuncSetAttribute(kernel, kMaxDynamicShared, 48 * 1024));
}

TEST_F(ErrorsTest, ParameterBlockOfTheWrongSize) {
    const Buffer<float> y(64);
    // (float*, int, int): 16 bytes.
    EXPECT_EQ(CUDA_ERROR_INVALID_VALUE, run("bug_store_behind", 1, 64, 0, y.at(), 64));
    expect_text({"bug_store_behind", "3 parameters of 16 bytes, the block has 12"});
    EXPECT_EQ(CUDA_ERROR_INVALID_VALUE, run("bug_store_behind", 1, 64, 0, y.at(), 64, -1, 0));
    EXPECT_EQ(CUDA_ERROR_INVALID_VALUE, run("bug_store_behind", 1, 64, 0));
    // One by one, as in kernelParams.
    CUdeviceptr pointer = y.at();
    int n = 64, bad = -1;
    void* parameters[] = {&pointer, &n, &bad};
    CU(cuLaunchKernel(function("bug_store_behind"), 1, 1, 1, 64, 1, 1, 0, nullptr, parameters, nullptr));
    for (const float value : y.values()) ASSERT_EQ(1.0f, value);
    size_t offset, size;
    CU(cuFuncGetParamInfo(function("bug_store_behind"), 2, &offset, &size));
    EXPECT_EQ(12u, offset);
    EXPECT_EQ(4u, size);
    EXPECT_EQ(CUDA_ERROR_INVALID_VALUE, cuFuncGetParamInfo(function("bug_store_behind"), 3, &offset, &size));
}

TEST_F(ErrorsTest, CopiesOutOfBounds) {
    const Buffer<float> y(64);
    std::vector<float> host(65);
    EXPECT_EQ(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD_v2(y.at(), host.data(), 65 * 4));
    expect_text({"260 bytes", "allocation of 256 bytes"});
    EXPECT_EQ(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoH_v2(host.data(), y.at(1), 64 * 4));
    EXPECT_EQ(CUDA_ERROR_INVALID_VALUE, cuMemsetD8Async(y.at() - 1, 0, 1, nullptr));
    EXPECT_EQ(CUDA_ERROR_INVALID_VALUE, cuMemFree_v2(y.at(1)));
}

TEST_F(ErrorsTest, OutOfMemory) {
    size_t free_bytes, total;
    CU(cuMemGetInfo_v2(&free_bytes, &total));
    EXPECT_EQ(total, free_bytes);
    CUdeviceptr pointer;
    EXPECT_EQ(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc_v2(&pointer, total + 1));
    expect_text({"are free"});
    const Buffer<char> some(100000);
    CU(cuMemGetInfo_v2(&free_bytes, &total));
    EXPECT_EQ(total - 100000, free_bytes);
}

TEST_F(ErrorsTest, NamesOfErrors) {
    const char* text;
    CU(cuGetErrorName(CUDA_ERROR_ILLEGAL_ADDRESS, &text));
    EXPECT_STREQ("CUDA_ERROR_ILLEGAL_ADDRESS", text);
    CU(cuGetErrorString(CUDA_ERROR_LAUNCH_FAILED, &text));
    EXPECT_STREQ("unspecified launch failure", text);
    EXPECT_EQ(CUDA_ERROR_INVALID_VALUE, cuGetErrorName(CUresult(12345), &text));
}

TEST_F(ErrorsTest, TheHostMayNotTouchDeviceMemory) {
    const Buffer<float> y(std::vector<float>(64, 1.0f));
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_DEATH(
        {
            run("bug_plain_store", 1, 64, 0, y.at(), 0, 5);
            *reinterpret_cast<volatile float*>(y.at()) = 2;
        },
        "code of the host touches device memory");
}

#if defined(__SANITIZE_ADDRESS__)
TEST_F(ErrorsTest, AddressSanitizerFindsAPlainStoreJustBehindTheEnd) {
    const Buffer<float> y(64);
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_DEATH(run("bug_plain_store", 1, 64, 0, y.at(), 64, 5), "use-after-poison");
}
#endif
