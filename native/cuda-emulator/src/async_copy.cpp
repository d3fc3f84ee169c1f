// cp.async: the copy is done as late as the kernel allows, at the wait, and until then its destination holds NaN. So a
// wait that is missing or waits for too few groups shows in the result.
#include <cstring>

#include "block.h"
#include "counting.h"
#include "errors.h"
#include "races.h"

namespace emulator {
namespace {

void watch_copy(const Lane& lane, const void* site, const void* shared, const void* global, int bytes) {
    Block& block = *lane.warp->block;
    if ((lane.watched & kWatchRaces) != 0) block.races().copy_begins(lane, shared);
    if ((lane.watched & kWatchCounts) == 0) return;
    block.counter().access(lane, detail::Access::store_shared, shared, 16, site);
    if (bytes == 0) return;
    // Sectors are read whole: a part of 16 bytes is counted as all of them.
    block.counter().access(lane, detail::Access::load_global, global, 16, site);
    block.counter().add_async(size_t(bytes));
}

}  // namespace

void cp_async16(void* shared, const void* global, int bytes) {
    Lane& lane = current_lane();
    if (EMULATOR_UNLIKELY(reinterpret_cast<uintptr_t>(shared) % 16 != 0 ||
                          !detail::in_shared_memory(lane, shared, 16))) {
        detail::refuse(detail::Access::store_shared, shared, 16);
    }
    if (EMULATOR_UNLIKELY(bytes < 0 || bytes > 16)) {
        lane.warp->block->fail(CUDA_ERROR_LAUNCH_FAILED,
                               text_of("%s: cp_async16 of %d bytes", place_of(lane).c_str(), bytes));
    }
    // The address must be aligned even if nothing is read.
    if (EMULATOR_UNLIKELY(reinterpret_cast<uintptr_t>(global) % 16 != 0 ||
                          (bytes > 0 && !detail::in_device_memory(global, size_t(bytes))))) {
        detail::refuse(detail::Access::load_global, global, 16);
    }
    if (EMULATOR_UNLIKELY(lane.watched)) watch_copy(lane, __builtin_return_address(0), shared, global, bytes);
    sanitize_write(shared, 16);
    memset(shared, 0xff, 16);
    [[maybe_unused]] const SanitizerLooksAway away;
    lane.copies.push_back(
        AsyncCopy{static_cast<unsigned char*>(shared), static_cast<const unsigned char*>(global), bytes, lane.group});
}

void cp_async_commit() { current_lane().group++; }

void cp_async_wait(int pending) {
    Lane& lane = current_lane();
    size_t done = 0;
    // Groups are complete in the order of their commits; what was not committed belongs to none.
    while (done < lane.copies.size() && int64_t(lane.copies[done].group) < int64_t(lane.group) - pending) {
        const AsyncCopy& copy = lane.copies[done++];
        sanitize_read(copy.global, size_t(copy.bytes));
        sanitize_write(copy.shared, 16);
        memcpy(copy.shared, copy.global, size_t(copy.bytes));
        memset(copy.shared + copy.bytes, 0, size_t(16 - copy.bytes));
        if (EMULATOR_UNLIKELY((lane.watched & kWatchRaces) != 0)) {
            lane.warp->block->races().copy_is_done(lane, copy.shared);
        }
    }
    [[maybe_unused]] const SanitizerLooksAway away;
    lane.copies.erase(lane.copies.begin(), lane.copies.begin() + ptrdiff_t(done));
}

}  // namespace emulator
