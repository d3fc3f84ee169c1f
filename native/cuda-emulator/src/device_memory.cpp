#include "device_memory.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "emulator/device.h"
#include "errors.h"
#include "fiber.h"

namespace emulator {

detail::DeviceMap detail::device_map;

namespace {

constexpr size_t kGranule = size_t{1} << detail::kGranuleBits;
constexpr size_t kPage = 4096;
// ThreadSanitizer keeps four times as much beside it.
constexpr size_t kMostReserved = size_t{EMULATOR_TSAN ? 32 : 256} << 30, kLeastReserved = size_t{1} << 30;
constexpr size_t kDefaultTotal = size_t{24} << 30;
// Fresh memory is filled with NaN, except where that would cost the host more memory than the program may ever use.
constexpr size_t kMostFilled = size_t{1} << 30;

std::recursive_mutex guard;
std::map<uintptr_t, size_t> allocations;  // start -> bytes
std::map<uintptr_t, size_t> holes;        // start -> bytes, whole granules, never adjacent
std::map<uintptr_t, size_t> pinned;
uintptr_t* ends = nullptr;
size_t used = 0;
int opened = 0;

bool protects() {
    static const bool value = [] {
        const char* text = getenv("LSP_EMULATOR_PROTECT");
        return text == nullptr || strcmp(text, "0") != 0;
    }();
    return value;
}

size_t rounded(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

bool reserve() {
    if (ends != nullptr) return true;
    for (size_t bytes = kMostReserved; bytes >= kLeastReserved; bytes /= 2) {
        void* range = mmap(nullptr, bytes + kGranule, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (range == MAP_FAILED) continue;
        void* table = mmap(nullptr, bytes / kGranule * sizeof(uintptr_t), PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (table == MAP_FAILED) {
            munmap(range, bytes + kGranule);
            continue;
        }
        ends = static_cast<uintptr_t*>(table);
        detail::device_map.base = rounded(reinterpret_cast<uintptr_t>(range), kGranule);
        detail::device_map.bytes = bytes;
        detail::device_map.end_of_granule = ends;
        // The first granule stays empty: what lies before the first allocation is out of bounds, too.
        holes[detail::device_map.base + kGranule] = bytes - kGranule;
        return true;
    }
    return false;
}

void set_owner(uintptr_t start, size_t bytes, uintptr_t end) {
    const size_t first = (start - detail::device_map.base) / kGranule;
    for (size_t i = 0; i < rounded(bytes, kGranule) / kGranule; i++) ends[first + i] = end;
}

void protect(uintptr_t start, size_t bytes, bool open) {
    mprotect(reinterpret_cast<void*>(start), rounded(bytes, kPage), open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

void give_back(uintptr_t start, size_t bytes) {
    auto next = holes.lower_bound(start);
    if (next != holes.end() && start + bytes == next->first) {
        bytes += next->second;
        next = holes.erase(next);
    }
    if (next != holes.begin()) {
        auto before = std::prev(next);
        if (before->first + before->second == start) {
            before->second += bytes;
            return;
        }
    }
    holes[start] = bytes;
}

// Allocations are a granule apart.
size_t with_gap(size_t bytes) { return rounded(bytes, kGranule) + kGranule; }

void release(std::map<uintptr_t, size_t>::iterator at) {
    const auto [start, bytes] = *at;
    allocations.erase(at);
    set_owner(start, bytes, 0);
#if EMULATOR_ASAN
    __asan_unpoison_memory_region(reinterpret_cast<void*>(start), rounded(bytes, kPage));
#endif
    // Mapped anew: the pages go back to the system, and an access faults.
    mmap(reinterpret_cast<void*>(start), rounded(bytes, kPage), PROT_NONE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    give_back(start, with_gap(bytes));
    used -= bytes;
}

}  // namespace

size_t device_memory_total() {
    static const size_t value = [] {
        const char* text = getenv("LSP_EMULATOR_MEMORY");
        return text == nullptr ? kDefaultTotal : size_t(strtoull(text, nullptr, 10));
    }();
    return value;
}

size_t device_memory_used() {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    return used;
}

CUresult allocate_device(CUdeviceptr* pointer, size_t bytes) {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    if (pointer == nullptr || bytes == 0) return report(CUDA_ERROR_INVALID_VALUE, "cuMemAlloc of %zu bytes", bytes);
    if (!reserve()) return report(CUDA_ERROR_OUT_OF_MEMORY, "no addresses for device memory");
    if (bytes > device_memory_total() - used) {
        return report(CUDA_ERROR_OUT_OF_MEMORY, "cuMemAlloc of %zu bytes: %zu of %zu are free", bytes,
                      device_memory_total() - used, device_memory_total());
    }
    const size_t needed = with_gap(bytes);
    auto hole = holes.begin();
    while (hole != holes.end() && hole->second < needed) ++hole;
    if (hole == holes.end()) return report(CUDA_ERROR_OUT_OF_MEMORY, "cuMemAlloc of %zu bytes: no addresses", bytes);
    const auto [start, size] = *hole;
    holes.erase(hole);
    if (size > needed) holes[start + needed] = size - needed;
    allocations[start] = bytes;
    used += bytes;
    set_owner(start, bytes, start + bytes);
    protect(start, bytes, true);
    if (bytes <= kMostFilled) memset(reinterpret_cast<void*>(start), 0xff, bytes);
#if EMULATOR_ASAN
    // A plain access behind the end is found even within the last page.
    __asan_poison_memory_region(reinterpret_cast<void*>(start + bytes), rounded(bytes, kPage) - bytes);
#endif
    if (opened == 0 && protects()) protect(start, bytes, false);
    *pointer = start;
    return CUDA_SUCCESS;
}

CUresult free_device(CUdeviceptr pointer) {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    const auto at = allocations.find(uintptr_t(pointer));
    if (at == allocations.end()) {
        return report(CUDA_ERROR_INVALID_VALUE, "cuMemFree(%#llx): no allocation begins there",
                      (unsigned long long)pointer);
    }
    release(at);
    return CUDA_SUCCESS;
}

void free_all_device_memory() {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    while (!allocations.empty()) release(allocations.begin());
}

CUresult allocate_host(void** pointer, size_t bytes) {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    if (pointer == nullptr || bytes == 0) return report(CUDA_ERROR_INVALID_VALUE, "cuMemAllocHost of %zu bytes", bytes);
    void* memory = aligned_alloc(kPage, rounded(bytes, kPage));
    if (memory == nullptr) return report(CUDA_ERROR_OUT_OF_MEMORY, "cuMemAllocHost of %zu bytes", bytes);
    pinned[reinterpret_cast<uintptr_t>(memory)] = bytes;
    *pointer = memory;
    return CUDA_SUCCESS;
}

CUresult free_host(void* pointer) {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    if (pinned.erase(reinterpret_cast<uintptr_t>(pointer)) == 0) {
        return report(CUDA_ERROR_INVALID_VALUE, "cuMemFreeHost(%p): no allocation begins there", pointer);
    }
    free(pointer);
    return CUDA_SUCCESS;
}

bool in_device(CUdeviceptr pointer, size_t bytes) {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    auto at = allocations.upper_bound(uintptr_t(pointer));
    if (at == allocations.begin()) return false;
    --at;
    const size_t offset = uintptr_t(pointer) - at->first;
    return offset <= at->second && bytes <= at->second - offset;
}

bool in_pinned_host(const void* pointer, size_t bytes) {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    auto at = pinned.upper_bound(reinterpret_cast<uintptr_t>(pointer));
    if (at == pinned.begin()) return false;
    --at;
    const size_t offset = reinterpret_cast<uintptr_t>(pointer) - at->first;
    return offset <= at->second && bytes <= at->second - offset;
}

const char* describe_device_address(uintptr_t address, char (&text)[200]) {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    const auto above = allocations.upper_bound(address);
    if (above != allocations.begin()) {
        const auto [start, bytes] = *std::prev(above);
        const size_t offset = address - start;
        if (offset < bytes) {
            snprintf(text, sizeof text, "%#zx, byte %zu of the allocation of %zu bytes at %#zx", size_t(address),
                     offset, bytes, size_t(start));
            return text;
        }
        if (above == allocations.end() || above->first - address > offset - bytes) {
            snprintf(text, sizeof text, "%#zx, %zu bytes behind the end of the allocation of %zu bytes at %#zx",
                     size_t(address), offset - bytes, bytes, size_t(start));
            return text;
        }
    }
    if (above != allocations.end()) {
        snprintf(text, sizeof text, "%#zx, %zu bytes before the allocation of %zu bytes at %#zx", size_t(address),
                 size_t(above->first - address), above->second, size_t(above->first));
        return text;
    }
    snprintf(text, sizeof text, "%#zx, and there are no allocations", size_t(address));
    return text;
}

DeviceMemoryOpen::DeviceMemoryOpen() {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    if (opened++ == 0 && protects()) {
        for (const auto& [start, bytes] : allocations) protect(start, bytes, true);
    }
}

DeviceMemoryOpen::~DeviceMemoryOpen() {
    const std::lock_guard<std::recursive_mutex> lock(guard);
    if (--opened == 0 && protects()) {
        for (const auto& [start, bytes] : allocations) protect(start, bytes, false);
    }
}

}  // namespace emulator
