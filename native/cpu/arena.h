// Memory of activations, which come and go with every picture and prompt. Were it handed back to the system each time,
// the kernel would clear the pages each time, which shows in the time of a picture, above all where the page cache is
// full.
#pragma once

#include <cstddef>

namespace lsp {

// 64-byte aligned, undefined contents; blocks of 256 KiB and more out of memory that is kept. Thread-safe. Throws
// std::bad_alloc.
void* arena_allocate(size_t bytes);

// bytes: as they were asked for.
void arena_release(void* block, size_t bytes) noexcept;

// Bytes of address space that the arena holds at the moment.
size_t arena_bytes();

}  // namespace lsp
