#include "races.h"

#include "errors.h"

namespace emulator {
namespace {

[[noreturn]] void race(const Lane& lane, const void* byte, const std::string& what) {
    const long long offset = static_cast<const unsigned char*>(byte) - lane.shared;
    lane.warp->block->fail(CUDA_ERROR_LAUNCH_FAILED, text_of("%s: race for byte %lld of shared memory: %s",
                                                             place_of(lane).c_str(), offset, what.c_str()));
}

}  // namespace

void RaceChecker::begin_block(uint32_t shared_bytes) {
    if (cells_.size() < shared_bytes) cells_.resize(shared_bytes);
    block_++;
    epoch_++;
}

RaceChecker::Cell* RaceChecker::cells_of(const Lane& lane, const void* pointer) {
    return cells_.data() + (static_cast<const unsigned char*>(pointer) - lane.shared);
}

bool RaceChecker::ordered_behind(const Lane& lane, int other, uint32_t epoch, uint32_t warp_epoch) const {
    return epoch != epoch_ || other == lane.thread ||
           (other / 32 == lane.thread / 32 && warp_epoch != warp_epochs_[lane.warp->number]);
}

void RaceChecker::check_write(const Lane& lane, const Cell& cell, const void* byte, const char* verb) const {
    if (cell.copied_in_block == block_) {
        race(lane, byte,
             text_of("%s what a cp_async16 of thread %d brings, which was not waited for", verb, cell.writer));
    }
    if (!ordered_behind(lane, cell.writer, cell.write_epoch, cell.write_warp_epoch)) {
        race(lane, byte, text_of("%s what thread %d has written since the last barrier", verb, cell.writer));
    }
}

void RaceChecker::check_visitors(const Lane& lane, const Visitors& visitors, const void* byte, const char* verb,
                                 const char* done) const {
    using Kind = Visitors::Kind;
    if (visitors.epoch != epoch_ || (visitors.kind == Kind::one && visitors.thread == lane.thread)) return;
    if (visitors.kind != Kind::of_many && visitors.thread / 32 == lane.thread / 32 &&
        visitors.warp_epoch != warp_epochs_[lane.warp->number]) {
        return;
    }
    race(lane, byte,
         text_of("%s what thread %d%s %s since the last barrier", verb, visitors.thread,
                 visitors.kind == Kind::one ? " has" : " and others have", done));
}

void RaceChecker::add_visitor(const Lane& lane, Visitors& visitors) const {
    using Kind = Visitors::Kind;
    const uint32_t warp_epoch = warp_epochs_[lane.warp->number];
    if (visitors.epoch != epoch_) {
        visitors.kind = Kind::one;
    } else if (visitors.thread / 32 != lane.thread / 32) {
        visitors.kind = Kind::of_many;
    } else if (visitors.thread != lane.thread && visitors.kind == Kind::one) {
        // Those before the last warp_barrier need not be remembered beside one behind it.
        visitors.kind = visitors.warp_epoch == warp_epoch ? Kind::of_one_warp : Kind::one;
    }
    visitors.thread = int16_t(lane.thread);
    visitors.epoch = epoch_;
    visitors.warp_epoch = warp_epoch;
}

void RaceChecker::set_writer(const Lane& lane, Cell& cell) const {
    cell.writer = int16_t(lane.thread);
    cell.write_epoch = epoch_;
    cell.write_warp_epoch = warp_epochs_[lane.warp->number];
}

void RaceChecker::load(const Lane& lane, const void* pointer, size_t bytes) {
    const unsigned char* byte = static_cast<const unsigned char*>(pointer);
    for (Cell *cell = cells_of(lane, pointer), *end = cell + bytes; cell < end; cell++, byte++) {
        check_write(lane, *cell, byte, "reads");
        check_visitors(lane, cell->updaters, byte, "reads", "changed");
        add_visitor(lane, cell->readers);
    }
}

void RaceChecker::store(const Lane& lane, const void* pointer, size_t bytes) {
    const unsigned char* byte = static_cast<const unsigned char*>(pointer);
    for (Cell *cell = cells_of(lane, pointer), *end = cell + bytes; cell < end; cell++, byte++) {
        check_write(lane, *cell, byte, "overwrites");
        check_visitors(lane, cell->readers, byte, "writes", "read");
        check_visitors(lane, cell->updaters, byte, "writes", "changed");
        set_writer(lane, *cell);
    }
}

void RaceChecker::update(const Lane& lane, const void* pointer, size_t bytes) {
    const unsigned char* byte = static_cast<const unsigned char*>(pointer);
    for (Cell *cell = cells_of(lane, pointer), *end = cell + bytes; cell < end; cell++, byte++) {
        check_write(lane, *cell, byte, "changes");
        check_visitors(lane, cell->readers, byte, "changes", "read");
        add_visitor(lane, cell->updaters);
    }
}

void RaceChecker::copy_begins(const Lane& lane, const void* pointer) {
    store(lane, pointer, 16);
    for (Cell *cell = cells_of(lane, pointer), *end = cell + 16; cell < end; cell++) cell->copied_in_block = block_;
}

void RaceChecker::copy_is_done(const Lane& lane, const void* pointer) {
    for (Cell *cell = cells_of(lane, pointer), *end = cell + 16; cell < end; cell++) {
        cell->copied_in_block = 0;
        set_writer(lane, *cell);
    }
}

}  // namespace emulator
