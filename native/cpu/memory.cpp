#include "memory.h"

#include <cstdlib>
#include <cstring>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace lsp {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

size_t round_up(size_t value, size_t unit) { return (value + unit - 1) / unit * unit; }

#if defined(__linux__)
size_t page() {
    static const size_t bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    return bytes;
}
#endif

}  // namespace

void* allocate(size_t bytes) {
    if (bytes > (size_t{1} << 47)) throw std::bad_alloc();
#if defined(__linux__)
    if (bytes >= kHugePage) {
        // One page more than needed, so that the block can start on a huge page; the rest goes back.
        const size_t length = round_up(bytes, page());
        void* map = mmap(nullptr, length + kHugePage, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (map == MAP_FAILED) throw std::bad_alloc();
        const uintptr_t start = reinterpret_cast<uintptr_t>(map);
        const uintptr_t block = round_up(start, kHugePage);
        if (block != start) munmap(map, block - start);
        const size_t behind = start + kHugePage - block;
        if (behind != 0) munmap(reinterpret_cast<void*>(block + length), behind);
        // The rest behind the last whole huge page takes small ones: a model has hundreds of blocks.
        madvise(reinterpret_cast<void*>(block), bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
        return reinterpret_cast<void*>(block);
    }
#endif
    const size_t length = round_up(bytes == 0 ? 1 : bytes, kAlignment);
    void* block = std::aligned_alloc(kAlignment, length);
    if (block == nullptr) throw std::bad_alloc();
    std::memset(block, 0, length);
    return block;
}

void release(void* block, size_t bytes) noexcept {
    if (block == nullptr) return;
#if defined(__linux__)
    if (bytes >= kHugePage) {
        munmap(block, round_up(bytes, page()));
        return;
    }
#else
    (void)bytes;
#endif
    std::free(block);
}

int64_t second_level_cache() {
#if defined(_SC_LEVEL2_CACHE_SIZE)
    const long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
    if (bytes > 0) return bytes;
#endif
    return int64_t{1} << 20;
}

void* Buffer::reserve(size_t bytes) {
    if (bytes > size_) {
        release(data_, size_);
        data_ = nullptr;
        size_ = 0;
        data_ = allocate(bytes);
        size_ = bytes;
    }
    return data_;
}

}  // namespace lsp
