// The device's second-level cache as the counters model it: which sectors a launch reads from memory and writes back.
#pragma once

#include <cstdint>
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

    /// Loads the sectors (bit i: sector i) of a line; line: its address without the low kLineBits.
    void read(uint64_t line, uint32_t sectors);
    /// Stores the bytes (one bit each) of a line's sectors.
    void write(uint64_t line, const uint32_t (&bytes)[kSectors]);
    /// Everything is written back and forgotten.
    void clear();

    /// Since the last call.
    uint64_t take_read_bytes();
    uint64_t take_written_bytes();

  private:
    struct Line {
        uint32_t there = 0;  // sectors that hold what memory has
        uint32_t stored[kSectors] = {};
    };
    struct Set {
        uint64_t lines[kWays];  // kNone: free
        uint64_t used[kWays];   // when, the last time
        Line data[kWays];
        bool touched = false;
    };
    static constexpr uint64_t kNone = ~uint64_t{0};

    std::vector<Set> sets_;
    std::vector<uint32_t> touched_;
    uint64_t clock_ = 0, read_sectors_ = 0, written_sectors_ = 0;

    Line& find(uint64_t line);
    void write_back(Line& line);
};

}  // namespace emulator
