// Device, buffers and launches for the emulator's tests.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "emulator/driver.h"

#define CU(call)                                                                       \
    do {                                                                               \
        const CUresult cu_result = (call);                                             \
        ASSERT_EQ(CUDA_SUCCESS, cu_result) << #call << ": " << lspEmulatorLastError(); \
    } while (false)

/// Device memory with the contents of a vector.
template <typename T>
class Buffer {
  public:
    explicit Buffer(size_t count) : count_(count) {
        EXPECT_EQ(CUDA_SUCCESS, cuMemAlloc_v2(&pointer_, count * sizeof(T))) << lspEmulatorLastError();
    }
    explicit Buffer(const std::vector<T>& values) : Buffer(values.size()) {
        EXPECT_EQ(CUDA_SUCCESS, cuMemcpyHtoD_v2(pointer_, values.data(), values.size() * sizeof(T)))
            << lspEmulatorLastError();
    }
    ~Buffer() { cuMemFree_v2(pointer_); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    CUdeviceptr at(size_t index = 0) const { return pointer_ + index * sizeof(T); }
    std::vector<T> values() const {
        std::vector<T> result(count_);
        EXPECT_EQ(CUDA_SUCCESS, cuMemcpyDtoH_v2(result.data(), pointer_, count_ * sizeof(T))) << lspEmulatorLastError();
        return result;
    }

  private:
    CUdeviceptr pointer_ = 0;
    size_t count_;
};

/// A packed parameter block.
class Parameters {
  public:
    template <typename... T>
    explicit Parameters(T... values) {
        (add(values), ...);
        size_ = block_.size();
        extra[0] = CU_LAUNCH_PARAM_BUFFER_POINTER;
        extra[1] = block_.data();
        extra[2] = CU_LAUNCH_PARAM_BUFFER_SIZE;
        extra[3] = &size_;
        extra[4] = CU_LAUNCH_PARAM_END;
    }
    Parameters(const Parameters&) = delete;
    Parameters& operator=(const Parameters&) = delete;

    void* extra[5];

  private:
    std::vector<unsigned char> block_;
    size_t size_;

    template <typename T>
    void add(T value) {
        block_.resize((block_.size() + alignof(T) - 1) / alignof(T) * alignof(T));
        const unsigned char* bytes = reinterpret_cast<const unsigned char*>(&value);
        block_.insert(block_.end(), bytes, bytes + sizeof(T));
    }
};

/// A fresh context for every test; order and error are reset behind it.
class EmulatorTest : public testing::Test {
  protected:
    CUmodule module = nullptr;

    void SetUp() override {
        CU(cuInit(0));
        CUcontext context;
        CU(cuDevicePrimaryCtxRetain(&context, 0));
        CU(cuCtxSetCurrent(context));
        CU(cuModuleLoadData(&module, "LSPEMU01"));
    }
    void TearDown() override {
        lspEmulatorSetOrder(LSP_EMULATOR_FORWARD, 0);
        EXPECT_EQ(CUDA_SUCCESS, cuDevicePrimaryCtxRelease_v2(0));
        lspEmulatorClearError();
    }

    CUfunction function(const char* name) {
        CUfunction result = nullptr;
        EXPECT_EQ(CUDA_SUCCESS, cuModuleGetFunction(&result, module, name)) << lspEmulatorLastError();
        return result;
    }

    /// Launches on the default stream and waits. The first error of both.
    template <typename... T>
    CUresult run(const char* name, unsigned blocks, unsigned threads, unsigned shared_bytes, T... values) {
        return run_grid(name, {blocks, 1, 1}, threads, shared_bytes, values...);
    }
    template <typename... T>
    CUresult run_grid(const char* name, std::vector<unsigned> grid, unsigned threads, unsigned shared_bytes,
                      T... values) {
        Parameters parameters(values...);
        const CUresult result = cuLaunchKernel(function(name), grid[0], grid[1], grid[2], threads, 1, 1, shared_bytes,
                                               nullptr, nullptr, parameters.extra);
        return result != CUDA_SUCCESS ? result : cuCtxSynchronize();
    }

    static void expect_text(const std::vector<std::string>& parts) {
        const std::string text = lspEmulatorLastError();
        for (const std::string& part : parts) EXPECT_NE(std::string::npos, text.find(part)) << part << " in: " << text;
    }
};

inline std::vector<float> random_values(size_t count, unsigned seed, float range = 1) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> distribution(-range, range);
    std::vector<float> values(count);
    for (float& value : values) value = distribution(random);
    return values;
}
