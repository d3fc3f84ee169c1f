// Every access to global and shared memory that a main loop makes: plain loads and stores on the device, checked and
// counted by the emulator. T has 1, 2, 4, 8 or 16 bytes and is aligned to its size.
#pragma once

#include "types.cuh"

#if LSP_EMULATOR
template <typename T>
DEVICE T ldg(const T* source) {
    return emulator::load_global(source);
}
template <typename T>
DEVICE T ldg_stream(const T* source) {
    return emulator::load_global(source);
}
template <typename T>
DEVICE T ldg_shared_by_blocks(const T* source) {
    return emulator::load_global(source);
}
template <typename T>
DEVICE T ldg_mutable(const T* source) {
    return emulator::load_global(source);
}
template <typename T>
DEVICE void stg(T* destination, T value) {
    emulator::store_global(destination, value);
}
/// Adds 1 to a counter that blocks share and returns what was there. Whoever sees the sum sees what this block wrote in
/// front of its last barrier, by ldg_shared_by_blocks behind a barrier of its own.
DEVICE int atomic_increment(int* counter) { return emulator::atomic_add_global<__ATOMIC_SEQ_CST>(counter, 1); }
template <typename T>
DEVICE T lds(const T* source) {
    return emulator::load_shared(source);
}
template <typename T>
DEVICE void sts(T* destination, T value) {
    emulator::store_shared(destination, value);
}

/// Copies 16 bytes to shared memory some time before cp_async_wait says that they are there; only the first `bytes` (0
/// to 16) are read, the rest is zero.
DEVICE void cp_async16(void* shared, const void* global, int bytes = 16) {
    emulator::cp_async16(shared, global, bytes);
}
/// Ends a group of copies.
DEVICE void cp_async_commit() { emulator::cp_async_commit(); }
/// Waits until at most Pending of the groups of this thread are under way. Other threads' copies need a barrier behind
/// it.
template <int Pending>
DEVICE void cp_async_wait() {
    emulator::cp_async_wait(Pending);
}
#else
/// Read-only data: nothing writes it while the kernel runs.
template <typename T>
DEVICE T ldg(const T* source) {
    if constexpr (sizeof(T) == 16) {
        const uint4 v = __ldg(reinterpret_cast<const uint4*>(source));
        return *reinterpret_cast<const T*>(&v);
    } else if constexpr (sizeof(T) == 8) {
        const uint2 v = __ldg(reinterpret_cast<const uint2*>(source));
        return *reinterpret_cast<const T*>(&v);
    } else if constexpr (sizeof(T) == 4) {
        const unsigned v = __ldg(reinterpret_cast<const unsigned*>(source));
        return *reinterpret_cast<const T*>(&v);
    } else if constexpr (sizeof(T) == 2) {
        const unsigned short v = __ldg(reinterpret_cast<const unsigned short*>(source));
        return *reinterpret_cast<const T*>(&v);
    } else {
        const unsigned char v = __ldg(reinterpret_cast<const unsigned char*>(source));
        return *reinterpret_cast<const T*>(&v);
    }
}
/// Weights, read once: they need not stay in the first cache.
template <typename T>
DEVICE T ldg_stream(const T* source) {
    static_assert(sizeof(T) == 16, "weights are read 16 bytes at a time");
    u32x4 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(source));
    return *reinterpret_cast<const T*>(&v);
}
/// What another block of the same kernel may have written before: from the second cache, which all blocks share.
template <typename T>
DEVICE T ldg_shared_by_blocks(const T* source) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8 || sizeof(T) == 16);
    if constexpr (sizeof(T) == 4) {
        uint32_t v;
        asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(source) : "memory");
        return *reinterpret_cast<const T*>(&v);
    } else if constexpr (sizeof(T) == 8) {
        uint64_t v;
        asm volatile("ld.relaxed.gpu.global.u64 %0, [%1];" : "=l"(v) : "l"(source) : "memory");
        return *reinterpret_cast<const T*>(&v);
    } else {
        u32x4 v;
        asm volatile("ld.relaxed.gpu.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                     : "l"(source)
                     : "memory");
        return *reinterpret_cast<const T*>(&v);
    }
}
/// What this thread itself may write later in the kernel: an ordinary load.
template <typename T>
DEVICE T ldg_mutable(const T* source) {
    return *source;
}
DEVICE int atomic_increment(int* counter) {
    __threadfence();
    const int before = atomicAdd(counter, 1);
    __threadfence();
    return before;
}
template <typename T>
DEVICE void stg(T* destination, T value) {
    *destination = value;
}
template <typename T>
DEVICE T lds(const T* source) {
    return *source;
}
template <typename T>
DEVICE void sts(T* destination, T value) {
    *destination = value;
}

/// The address that PTX takes for shared memory.
DEVICE uint32_t shared_address(const void* pointer) { return uint32_t(__cvta_generic_to_shared(pointer)); }

#if __CUDA_ARCH__ >= 800
DEVICE void cp_async16(void* shared, const void* global, int bytes = 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(bytes)
                 : "memory");
}
DEVICE void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int Pending>
DEVICE void cp_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}
#else
// Turing has no asynchronous copies: through registers.
DEVICE void cp_async16(void* shared, const void* global, int bytes = 16) {
    uint4 v = make_uint4(0, 0, 0, 0);
    if (bytes == 16) {
        v = *reinterpret_cast<const uint4*>(global);
    } else {
        unsigned words[4] = {0, 0, 0, 0};
        const unsigned short* halves = reinterpret_cast<const unsigned short*>(global);
        for (int i = 0; i < 8; i++) {
            if (i * 2 < bytes) words[i / 2] |= unsigned(halves[i]) << (i % 2 * 16);
        }
        v = make_uint4(words[0], words[1], words[2], words[3]);
    }
    *reinterpret_cast<uint4*>(shared) = v;
}
DEVICE void cp_async_commit() {}
template <int Pending>
DEVICE void cp_async_wait() {}
#endif
#endif
