// A launch, as it is queued, and its run over the host's threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "emulator/device.h"
#include "emulator/driver.h"

namespace emulator {

enum class Order : int { forward = 0, reverse = 1, random = 2 };

struct KernelLaunch {
    const KernelRegistration* kernel = nullptr;
    unsigned grid[3] = {};
    unsigned threads = 0;
    unsigned shared_bytes = 0;
    std::vector<unsigned char> parameters;  // packed, natural alignment
    std::vector<void*> pointers;            // to each parameter, for who asks for them

    int64_t blocks() const { return int64_t(grid[0]) * grid[1] * grid[2]; }
};

/// What the blocks of one running launch share.
struct LaunchState {
    Order order = Order::forward;
    uint64_t seed = 0;
    bool races = false;
    std::atomic<bool> failed{false};
    std::mutex guard;
    CUresult code = CUDA_SUCCESS;
    std::string text;

    /// The first error stands.
    void fail(CUresult error, const std::string& message);
};

/// Runs all blocks; on an error reports its text and returns its code.
CUresult run_launch(const KernelLaunch& launch);

/// The order that was set (lspEmulatorSetOrder or LSP_EMULATOR_ORDER and _SEED) and its seed.
Order current_order();
uint64_t current_seed();
/// Whether races for shared memory are looked for (lspEmulatorSetRaceCheck or LSP_EMULATOR_RACES).
bool race_check();

}  // namespace emulator
