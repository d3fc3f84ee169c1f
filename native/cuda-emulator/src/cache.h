// The device's second-level cache as the counters model it: which sectors a launch reads from memory and writes back.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

namespace emulator {

/// Lines of 128 bytes in sectors of 32, 16 ways, the least recently used line leaves, stores are written back when
/// their line leaves. A sector is read from memory when it is not there; one that is stored whole needs no read, one
/// that was stored in part and leaves is read and merged. For one thread at a time.
class Cache {
  public:
    static constexpr int kSectorBits = 5, kLineBits = 7, kSectors = 4, kWays = 16;

    /// bytes: rounded down to whole sets, one at least.
    explicit Cache(uint64_t bytes);
    /// What it was made for.
    uint64_t bytes() const { return bytes_; }

    /// Loads the sectors (bit i: sector i) of a line; line: its offset in device memory without the low kLineBits.
    void read(uint32_t line, uint32_t sectors);
    /// Stores the bytes (one bit each) of a line's sectors.
    void write(uint32_t line, const uint32_t (&bytes)[kSectors]);
    /// Everything is written back and forgotten.
    void clear();

    /// Since the last call.
    uint64_t take_read_bytes();
    uint64_t take_written_bytes();

  private:
    // Small, because the host has to fetch it: a bit per sector, four per way.
    struct alignas(64) Set {
        uint32_t lines[kWays] = {};  // their numbers + 1; 0: free
        uint64_t order = 0;          // ways, four bits each, the last used one lowest; 0: the set is empty
        uint64_t there = 0;          // sectors that hold what memory has
        uint64_t stored = 0;         // sectors that were stored to,
        uint64_t whole = 0;          // and all of whose bytes were
    };
    using StoredBytes = uint32_t[kSectors];
    struct Free {
        void operator()(void* memory) const { free(memory); }
    };
    struct Place {
        Set& set;
        StoredBytes& bytes;  // of the sectors that are not whole
        int shift;           // of the way's bits
    };

    const uint64_t bytes_;
    std::vector<Set> sets_;
    // By set and way. Most pages are never touched.
    std::unique_ptr<StoredBytes[], Free> stored_;
    std::vector<uint32_t> used_;  // sets that are not empty
    uint64_t read_sectors_ = 0, written_sectors_ = 0;

    Place find(uint32_t line);
    void write_back(Set& set, int way);
};

}  // namespace emulator
