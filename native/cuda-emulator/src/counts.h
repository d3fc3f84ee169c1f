// The counters' sums over blocks, and what blocks of all host threads share.
#pragma once

#include <atomic>
#include <utility>

#include "cache.h"
#include "counting.h"

namespace emulator {

/// Adds a block to its kernel's counts; of `counts` the sites are not used.
void add_block(const char* kernel, const KernelCounts& counts, const std::vector<std::pair<Site, Traffic>>& sites);

/// One bit per sector of device memory that the running launch has read or written.
class TouchedSectors {
  public:
    /// False if there is no memory for it: nothing is counted then.
    bool reserve();
    void clear();
    /// Of the sectors 64 * word + i for each bit i: how many are touched for the first time.
    int touch(uintptr_t word, uint64_t bits) {
        if (bits_ == nullptr) return 0;
        std::atomic<uint64_t>& all = bits_[word];
        if ((bits & ~all.load(std::memory_order_relaxed)) == 0) return 0;
        return __builtin_popcountll(bits & ~all.fetch_or(bits, std::memory_order_relaxed));
    }

  private:
    std::atomic<uint64_t>* bits_ = nullptr;
};
extern TouchedSectors sectors_read, sectors_written;

/// The cache that is modelled, or null.
extern Cache* modelled_cache;

}  // namespace emulator
