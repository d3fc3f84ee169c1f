// Races of a block's threads for shared memory: two accesses to a byte, one of them a store, by two threads with no
// barrier (for threads of one warp: no barrier and no warp_barrier) between them; and accesses to what a cp.async has
// not delivered. Atomic operations race with loads and stores, not with each other.
#pragma once

#include <cstdint>
#include <vector>

#include "block.h"

namespace emulator {

class RaceChecker {
  public:
    void begin_block(uint32_t shared_bytes);
    void load(const Lane& lane, const void* pointer, size_t bytes);
    void store(const Lane& lane, const void* pointer, size_t bytes);
    /// An atomic operation.
    void update(const Lane& lane, const void* pointer, size_t bytes);
    void copy_begins(const Lane& lane, const void* pointer);
    void copy_is_done(const Lane& lane, const void* pointer);
    void block_met() { epoch_++; }
    void warp_met(const Warp& warp) { warp_epochs_[warp.number]++; }

  private:
    // Who has read a byte, or changed it by atomic operations, since the last barrier; not the last one for all.
    struct Visitors {
        enum class Kind : uint8_t { one, of_one_warp, of_many };
        uint32_t epoch = 0, warp_epoch = 0;
        int16_t thread = 0;  // the last one
        Kind kind = Kind::one;
    };
    // Of one byte. Epochs never repeat, so nothing has to be cleared between blocks.
    struct Cell {
        uint32_t write_epoch = 0, write_warp_epoch = 0;
        Visitors readers, updaters;
        uint32_t copied_in_block = 0;  // the block whose cp.async is under way
        int16_t writer = 0;
    };
    std::vector<Cell> cells_;
    uint32_t block_ = 0, epoch_ = 0;
    uint32_t warp_epochs_[Block::kMostThreads / 32] = {};

    Cell* cells_of(const Lane& lane, const void* pointer);
    bool ordered_behind(const Lane& lane, int other, uint32_t epoch, uint32_t warp_epoch) const;
    void check_write(const Lane& lane, const Cell& cell, const void* byte, const char* verb) const;
    void check_visitors(const Lane& lane, const Visitors& visitors, const void* byte, const char* verb,
                        const char* done) const;
    void add_visitor(const Lane& lane, Visitors& visitors) const;
    void set_writer(const Lane& lane, Cell& cell) const;
};

}  // namespace emulator
