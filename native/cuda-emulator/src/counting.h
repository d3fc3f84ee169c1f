// What kernels move: the accesses of a warp's lanes at one place in the code are grouped into what the device would do
// as one request, and its sectors and wavefronts are counted.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "block.h"

namespace emulator {

/// A place in a kernel's code and what it does there.
struct Site {
    const void* address;
    detail::Access access;
    uint16_t bytes;  // per lane

    bool operator<(const Site& other) const;
};

/// Requests of warps, what they take (sectors of global memory, wavefronts of shared memory) and the least they could.
struct Traffic {
    uint64_t requests = 0, bytes = 0, units = 0, least = 0;
};

struct KernelCounts {
    uint64_t launches = 0, blocks = 0, counted_blocks = 0;
    uint64_t mma_f16 = 0, mma_s8 = 0, async_bytes = 0;
    uint64_t read_sectors = 0, written_sectors = 0;  // different ones, per launch
    std::map<Site, Traffic> sites;
};

/// Counts for one block at a time.
class Counter {
  public:
    void access(const Lane& lane, detail::Access access, const void* pointer, size_t bytes, const void* site);
    /// The warp's lanes have met: what they did since the last time is grouped.
    void warp_met(const Warp& warp);
    void add_mma(bool halves) { halves ? counts_.mma_f16++ : counts_.mma_s8++; }
    void add_async(size_t bytes) { counts_.async_bytes += bytes; }
    /// Adds the block to its kernel's counts.
    void end_block(const char* kernel, int warps, Block& block);

  private:
    // The lanes' n-th visit of a site makes one request.
    struct Request {
        uint32_t lanes = 0;
        uintptr_t addresses[32];
    };
    struct Visits {
        Site site;
        uint32_t done[32] = {};
        std::vector<Request> requests;
    };
    std::vector<Visits> open_[Block::kMostThreads / 32];
    KernelCounts counts_;

    void add(const Site& site, const Request& request);
};

/// Whether blocks are counted, and how many of each launch (0: all).
bool counting();
int counted_blocks_per_launch();
/// Adds a launch to its kernel's counts; what it touches is new again.
void count_launch(const char* kernel, int64_t blocks);

}  // namespace emulator
