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

void RaceChecker::check_readers(const Lane& lane, const Cell& cell, const void* byte) const {
    if (cell.read_epoch != epoch_ || (cell.readers == Readers::one && cell.reader == lane.thread)) return;
    if (cell.readers != Readers::of_many && cell.reader / 32 == lane.thread / 32 &&
        cell.read_warp_epoch != warp_epochs_[lane.warp->number]) {
        return;
    }
    race(lane, byte,
         text_of("writes what thread %d%s read since the last barrier", cell.reader,
                 cell.readers == Readers::one ? " has" : " and others have"));
}

void RaceChecker::set_writer(const Lane& lane, Cell& cell) const {
    cell.writer = int16_t(lane.thread);
    cell.write_epoch = epoch_;
    cell.write_warp_epoch = warp_epochs_[lane.warp->number];
}

void RaceChecker::load(const Lane& lane, const void* pointer, size_t bytes) {
    const unsigned char* byte = static_cast<const unsigned char*>(pointer);
    const uint32_t warp_epoch = warp_epochs_[lane.warp->number];
    for (Cell *cell = cells_of(lane, pointer), *end = cell + bytes; cell < end; cell++, byte++) {
        check_write(lane, *cell, byte, "reads");
        if (cell->read_epoch != epoch_) {
            cell->readers = Readers::one;
        } else if (cell->reader / 32 != lane.thread / 32) {
            cell->readers = Readers::of_many;
        } else if (cell->reader != lane.thread && cell->readers == Readers::one) {
            // Readers before the last warp_barrier need not be remembered beside one behind it.
            cell->readers = cell->read_warp_epoch == warp_epoch ? Readers::of_one_warp : Readers::one;
        }
        cell->reader = int16_t(lane.thread);
        cell->read_epoch = epoch_;
        cell->read_warp_epoch = warp_epoch;
    }
}

void RaceChecker::store(const Lane& lane, const void* pointer, size_t bytes) {
    const unsigned char* byte = static_cast<const unsigned char*>(pointer);
    for (Cell *cell = cells_of(lane, pointer), *end = cell + bytes; cell < end; cell++, byte++) {
        check_write(lane, *cell, byte, "overwrites");
        check_readers(lane, *cell, byte);
        set_writer(lane, *cell);
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
