// One source, two builds: nvcc or clang for the device, g++ for the emulator (native/cuda-emulator). Kernels use these
// names and nothing of CUDA's headers.
#pragma once

#include <cstdint>

#if defined(__CUDA__) || defined(__CUDACC__)
#define LSP_EMULATOR 0
#define DEVICE __device__ __forceinline__

/// A kernel: `KERNEL(name, threads, blocks per SM)(parameters) { ... }`. Its parameters have their natural alignment;
/// C# packs the same block.
#define KERNEL(name, threads, blocks) extern "C" __global__ void __launch_bounds__(threads, blocks) name
#define REGISTER_KERNEL(name)

/// The block's dynamic shared memory, 16-byte aligned. The only shared memory there is.
extern __shared__ __align__(16) unsigned char lsp_shared[];
DEVICE unsigned char* shared_memory() { return lsp_shared; }

DEVICE int thread_x() { return int(threadIdx.x); }
DEVICE int block_x() { return int(blockIdx.x); }
DEVICE int block_y() { return int(blockIdx.y); }
DEVICE int block_z() { return int(blockIdx.z); }
DEVICE int block_threads() { return int(blockDim.x); }
DEVICE int grid_x() { return int(gridDim.x); }
DEVICE int grid_y() { return int(gridDim.y); }

/// All threads of the block meet; what they wrote to shared memory is seen by all.
DEVICE void barrier() { __syncthreads(); }
/// All threads of the warp meet.
DEVICE void warp_barrier() { __syncwarp(); }
#else
#define LSP_EMULATOR 1
#define DEVICE inline
#include "emulator/device.h"

// The bound on the threads of a block is kept: the device refuses a launch beyond it.
#define KERNEL(name, threads, blocks)               \
    static constexpr int bound_of_##name = threads; \
    extern "C" void name
#define REGISTER_KERNEL(name) \
    static const ::emulator::KernelRegistration registration_of_##name(#name, &name, bound_of_##name)

DEVICE unsigned char* shared_memory() { return emulator::shared_memory(); }
DEVICE int thread_x() { return emulator::current().thread; }
DEVICE int block_x() { return emulator::current().block_x; }
DEVICE int block_y() { return emulator::current().block_y; }
DEVICE int block_z() { return emulator::current().block_z; }
DEVICE int block_threads() { return emulator::current().threads; }
DEVICE int grid_x() { return emulator::current().grid_x; }
DEVICE int grid_y() { return emulator::current().grid_y; }
DEVICE void barrier() { emulator::barrier(); }
DEVICE void warp_barrier() { emulator::warp_barrier(); }
#endif

constexpr int kWarp = 32;

/// Lane of the thread in its warp, and the warp's number in the block (blocks have one dimension).
DEVICE int lane_id() { return thread_x() % kWarp; }
DEVICE int warp_id() { return thread_x() / kWarp; }

template <typename T>
DEVICE constexpr T ceil_div(T a, T b) {
    return (a + b - 1) / b;
}
template <typename T>
DEVICE constexpr T minimum(T a, T b) {
    return a < b ? a : b;
}
template <typename T>
DEVICE constexpr T maximum(T a, T b) {
    return a > b ? a : b;
}
