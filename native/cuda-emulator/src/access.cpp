// Accesses that end the launch, and those that are watched.
#include "block.h"
#include "counting.h"
#include "device_memory.h"
#include "errors.h"
#include "races.h"

namespace emulator::detail {

void refuse(Access access, const void* pointer, size_t bytes) {
    Lane& lane = current_lane();
    const uintptr_t address = reinterpret_cast<uintptr_t>(pointer);
    const bool load = access == Access::load_global || access == Access::load_shared;
    const bool store = access == Access::store_global || access == Access::store_shared;
    const bool shared = !is_global(access);
    const bool misaligned = address % bytes != 0;
    std::string where;
    if (shared) {
        where = text_of("shared memory at byte %lld of %u",
                        (long long)(address - reinterpret_cast<uintptr_t>(lane.shared)), lane.shared_bytes);
    } else {
        char text[200];
        where = text_of("global memory at %s", describe_device_address(address, text));
    }
    lane.warp->block->fail(
        misaligned ? CUDA_ERROR_MISALIGNED_ADDRESS : CUDA_ERROR_ILLEGAL_ADDRESS,
        text_of("%s: %s %s of %zu bytes %s %s", place_of(lane).c_str(), misaligned ? "misaligned" : "out-of-bounds",
                load    ? "load"
                : store ? "store"
                        : "atomic operation",
                bytes,
                load    ? "from"
                : store ? "to"
                        : "on",
                where.c_str()));
}

void watch(Access access, const void* pointer, size_t bytes) {
    watch_at(__builtin_return_address(0), access, pointer, bytes);
}

}  // namespace emulator::detail

namespace emulator {

void watch_at(const void* site, detail::Access access, const void* pointer, size_t bytes) {
    const Lane& lane = current_lane();
    Block& block = *lane.warp->block;
    if ((lane.watched & kWatchRaces) != 0) {
        if (access == detail::Access::load_shared) block.races().load(lane, pointer, bytes);
        if (access == detail::Access::store_shared) block.races().store(lane, pointer, bytes);
        if (access == detail::Access::atomic_shared) block.races().update(lane, pointer, bytes);
    }
    if ((lane.watched & kWatchCounts) != 0) block.counter().access(lane, access, pointer, bytes, site);
}

}  // namespace emulator
