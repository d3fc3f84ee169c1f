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
    bool operator==(const Site& other) const {
        return address == other.address && access == other.access && bytes == other.bytes;
    }
};

/// Requests of warps, what they take (sectors of global memory, wavefronts of shared memory) and the least they could.
struct Traffic {
    uint64_t requests = 0, bytes = 0, units = 0, least = 0;

    void operator+=(const Traffic& other) {
        requests += other.requests;
        bytes += other.bytes;
        units += other.units;
        least += other.least;
    }
};

struct KernelCounts {
    uint64_t launches = 0, blocks = 0, counted_blocks = 0;
    uint64_t mma_f16 = 0, mma_s8 = 0, async_bytes = 0;
    uint64_t read_sectors = 0, written_sectors = 0;            // different ones, per launch
    uint64_t memory_read_bytes = 0, memory_written_bytes = 0;  // behind the cache, if there is one
    std::map<Site, Traffic> sites;
};

/// Counts for one block at a time.
class Counter {
  public:
    Counter();
    void begin_block(const KernelRegistration* kernel);
    void access(const Lane& lane, detail::Access access, const void* pointer, size_t bytes, const void* site);
    /// The warp's lanes have met: what they did since the last time is grouped.
    void warp_met(const Warp& warp);
    void add_mma(bool halves) { halves ? counts_.mma_f16++ : counts_.mma_s8++; }
    void add_async(size_t bytes) { counts_.async_bytes += bytes; }
    /// Adds the block to its kernel's counts.
    void end_block(int warps, Block& block);

  private:
    // The lanes' n-th visits of a site make one request.
    struct Request {
        uint32_t lanes;
        int site, next;  // the same site's next visit, or -1
        uintptr_t addresses[32];
    };
    // A site of a warp that has not met since.
    struct Visits {
        int first = -1, last = -1;
        int of_lane[32];  // the request of each lane's last visit, or -1
    };
    struct WarpLog {
        std::vector<Request> requests;  // in the order in which the first lane came
        std::vector<Visits> visits;     // by site
        std::vector<int> sites;         // those that were visited
    };
    struct SiteTraffic {
        Site site;
        Traffic traffic;
    };
    const KernelRegistration* kernel_ = nullptr;
    std::vector<SiteTraffic> sites_;
    std::vector<int> table_;  // hash of a site -> its number, or -1
    WarpLog logs_[Block::kMostThreads / 32];
    KernelCounts counts_;

    int number_of(const Site& site);
    void add(const Request& request);
    void add_global(const Site& site, const Request& request, Traffic& traffic);
};

/// Whether blocks are counted, and how many of each launch (0: all).
bool counting();
int counted_blocks_per_launch();
/// Whether a cache is modelled: blocks then run one after the other.
bool counting_cache();
/// Adds a launch to its kernel's counts; what it touches is new again, and the cache is empty.
void count_launch(const char* kernel, int64_t blocks);
/// All its blocks are done: the cache is written back.
void count_launch_end(const char* kernel);

}  // namespace emulator
