// Sums of integers that many threads add to: their order does not matter, so every run leaves the same bits.
#pragma once

#include "memory.cuh"

#if LSP_EMULATOR
/// Adds to a number in shared memory and returns what was there.
DEVICE uint32_t atomic_add_shared(uint32_t* sum, uint32_t value) { return emulator::atomic_add_shared(sum, value); }
/// Adds to a number in global memory that the next kernel reads.
DEVICE void atomic_add_global(uint64_t* sum, uint64_t value) { emulator::atomic_add_global(sum, value); }
#else
DEVICE uint32_t atomic_add_shared(uint32_t* sum, uint32_t value) { return atomicAdd(sum, value); }
DEVICE void atomic_add_global(uint64_t* sum, uint64_t value) {
    atomicAdd(reinterpret_cast<unsigned long long*>(sum), static_cast<unsigned long long>(value));
}
#endif
