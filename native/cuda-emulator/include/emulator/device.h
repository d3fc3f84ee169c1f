// What kernels/common/*.cuh call when a kernel is compiled for the emulator. Everything here runs inside a kernel.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#define EMULATOR_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define EMULATOR_UNLIKELY(condition) __builtin_expect(!!(condition), 0)

namespace emulator {

/// The CUDA thread that runs. `shared` is the block's dynamic shared memory of `shared_bytes`.
struct Thread {
    int thread, threads;
    int block_x, block_y, block_z;
    int grid_x, grid_y, grid_z;
    unsigned char* shared;
    uint32_t shared_bytes;
    /// Accesses of this thread are counted or searched for races.
    uint32_t watched;
};

// Not thread_local: that would go through a wrapper function at every use.
extern __thread Thread* current_thread __attribute__((tls_model("initial-exec"), visibility("hidden")));

inline const Thread& current() { return *current_thread; }
inline unsigned char* shared_memory() { return current_thread->shared; }

namespace detail {

enum class Access : uint8_t { load_global, store_global, load_shared, store_shared };

// Device memory is one range of addresses cut into granules; every granule belongs to one allocation at most.
constexpr int kGranuleBits = 16;
struct DeviceMap {
    uintptr_t base = 0, bytes = 0;
    /// The end of the allocation that owns the granule, or 0.
    const uintptr_t* end_of_granule = nullptr;
};
extern DeviceMap device_map __attribute__((visibility("hidden")));

inline bool in_device_memory(const void* pointer, size_t bytes) {
    const uintptr_t address = reinterpret_cast<uintptr_t>(pointer), offset = address - device_map.base;
    return offset < device_map.bytes && address + bytes <= device_map.end_of_granule[offset >> kGranuleBits];
}
inline bool in_shared_memory(const Thread& thread, const void* pointer, size_t bytes) {
    const uintptr_t offset = reinterpret_cast<uintptr_t>(pointer) - reinterpret_cast<uintptr_t>(thread.shared);
    return offset < thread.shared_bytes && offset + bytes <= thread.shared_bytes;
}

/// Ends the launch: the access is misaligned or out of bounds.
[[noreturn]] void refuse(Access access, const void* pointer, size_t bytes);
/// Counts the access and looks for races.
void watch(Access access, const void* pointer, size_t bytes);

template <typename T>
inline void check_global(Access access, const T* pointer) {
    if (EMULATOR_UNLIKELY(reinterpret_cast<uintptr_t>(pointer) % sizeof(T) != 0 ||
                          !in_device_memory(pointer, sizeof(T)))) {
        refuse(access, pointer, sizeof(T));
    }
    if (EMULATOR_UNLIKELY(current_thread->watched)) watch(access, pointer, sizeof(T));
}
template <typename T>
inline void check_shared(Access access, const T* pointer) {
    const Thread& thread = *current_thread;
    if (EMULATOR_UNLIKELY(reinterpret_cast<uintptr_t>(pointer) % sizeof(T) != 0 ||
                          !in_shared_memory(thread, pointer, sizeof(T)))) {
        refuse(access, pointer, sizeof(T));
    }
    if (EMULATOR_UNLIKELY(thread.watched)) watch(access, pointer, sizeof(T));
}

template <typename T>
constexpr bool kMovable = std::is_trivially_copyable_v<T> &&
                          (sizeof(T) == 1 || sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8 || sizeof(T) == 16);

uint32_t shuffle_bits(uint32_t value, int lane);

}  // namespace detail

// Memory. T has 1, 2, 4, 8 or 16 bytes; the address is a multiple of that.
template <typename T>
inline T load_global(const T* source) {
    static_assert(detail::kMovable<T>);
    detail::check_global(detail::Access::load_global, source);
    T value;
    memcpy(&value, source, sizeof(T));
    return value;
}
template <typename T>
inline void store_global(T* destination, T value) {
    static_assert(detail::kMovable<T>);
    detail::check_global(detail::Access::store_global, destination);
    memcpy(destination, &value, sizeof(T));
}
template <typename T>
inline T load_shared(const T* source) {
    static_assert(detail::kMovable<T>);
    detail::check_shared(detail::Access::load_shared, source);
    T value;
    memcpy(&value, source, sizeof(T));
    return value;
}
template <typename T>
inline void store_shared(T* destination, T value) {
    static_assert(detail::kMovable<T>);
    detail::check_shared(detail::Access::store_shared, destination);
    memcpy(destination, &value, sizeof(T));
}

/// The destination holds NaN until this thread waits for the copy. bytes: 0 to 16 are read, the rest is zero.
void cp_async16(void* shared, const void* global, int bytes);
void cp_async_commit();
/// Does the copies of all groups but the last `pending`.
void cp_async_wait(int pending);

// All threads of the block or of the warp meet.
void barrier();
void warp_barrier();

// Collectives of a warp: all 32 lanes come, one computes for all.
template <typename T>
inline T shuffle(T value, int lane) {
    static_assert(sizeof(T) == 4);
    uint32_t bits;
    memcpy(&bits, &value, 4);
    bits = detail::shuffle_bits(bits, lane);
    memcpy(&value, &bits, 4);
    return value;
}
uint32_t ballot(bool value);
/// matrices: 2 or 4, the length of r.
void ldmatrix(uint32_t* r, const void* row, int matrices, bool transposed);
void mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);
void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);
void mma_s8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);

// Arithmetic.
/// 2^x; results and operands below the smallest normal number are zero, as on the device.
inline float exp2_fast(float x) {
    const float result = std::exp2(std::fabs(x) < 1.17549435e-38f ? 0.0f : x);
    return result < 1.17549435e-38f ? 0.0f : result;
}
inline float half_to_float(uint16_t half) {
    const uint32_t sign = uint32_t(half & 0x8000) << 16, rest = uint32_t(half & 0x7fff) << 13;
    uint32_t bits;
    if (EMULATOR_LIKELY(rest >= 0x00800000u && rest < 0x0f800000u)) {
        bits = sign | (rest + 0x38000000u);
    } else if (rest >= 0x0f800000u) {
        bits = sign | (rest + 0x70000000u);
    } else {
        // Subnormal or zero: the number of units of 2^-24.
        const float units = float(half & 0x7fff) * 5.9604644775390625e-8f;
        memcpy(&bits, &units, 4);
        bits |= sign;
    }
    float value;
    memcpy(&value, &bits, 4);
    return value;
}
/// To nearest, ties to even; every NaN becomes 0x7fff, as on the device.
inline uint16_t float_to_half(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    const uint32_t sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffffu;
    if (EMULATOR_LIKELY(rest >= 0x38800000u && rest < 0x477ff000u)) {
        return uint16_t(sign | ((rest - 0x38000000u + 0xfff + (rest >> 13 & 1)) >> 13));
    }
    if (rest > 0x7f800000u) return 0x7fff;
    if (rest >= 0x477ff000u) return uint16_t(sign | 0x7c00);
    // Adding 1/2 leaves units of 2^-24 in the low bits, rounded to even.
    float magnitude;
    memcpy(&magnitude, &rest, 4);
    magnitude += 0.5f;
    memcpy(&bits, &magnitude, 4);
    return uint16_t(sign | (bits - 0x3f000000u));
}

/// A kernel that was compiled in: its name, the most threads that a block may have, and where its parameters lie in a
/// packed block (natural alignment).
class KernelRegistration {
  public:
    static constexpr int kMostParameters = 64;
    struct Parameter {
        uint32_t offset, size;
    };
    using Invoke = void (*)(void (*function)(), const unsigned char* block);

    template <typename... Parameters>
    KernelRegistration(const char* kernel, void (*kernel_function)(Parameters...), int bound = 1024)
        : name(kernel),
          most_threads(bound),
          function(reinterpret_cast<void (*)()>(kernel_function)),
          invoke(&call<Parameters...>),
          count(int(sizeof...(Parameters))) {
        static_assert(sizeof...(Parameters) <= kMostParameters);
        static_assert((std::is_trivially_copyable_v<Parameters> && ...));
        (add(sizeof(Parameters), alignof(Parameters)), ...);
        enroll();
    }
    KernelRegistration(const KernelRegistration&) = delete;
    KernelRegistration& operator=(const KernelRegistration&) = delete;

    const char* const name;
    const int most_threads;
    void (*const function)();
    const Invoke invoke;
    const int count;
    /// Bytes from the block's start to the end of its last parameter.
    uint32_t bytes = 0;
    Parameter parameters[kMostParameters] = {};
    KernelRegistration* next = nullptr;

  private:
    int added_ = 0;

    void add(size_t size, size_t alignment) {
        const uint32_t offset = uint32_t((bytes + alignment - 1) / alignment * alignment);
        parameters[added_++] = Parameter{offset, uint32_t(size)};
        bytes = offset + uint32_t(size);
    }
    void enroll();

    template <typename T>
    static T take(const unsigned char* block, size_t& at) {
        at = (at + alignof(T) - 1) / alignof(T) * alignof(T);
        T value;
        memcpy(&value, block + at, sizeof(T));
        at += sizeof(T);
        return value;
    }
    template <typename... Parameters>
    struct Call {
        // Braces: the parameters are taken from left to right.
        template <typename Function>
        Call(Function kernel, Parameters... values) {
            kernel(values...);
        }
    };
    template <typename... Parameters>
    static void call(void (*function)(), [[maybe_unused]] const unsigned char* block) {
        [[maybe_unused]] size_t at = 0;
        Call<Parameters...>{reinterpret_cast<void (*)(Parameters...)>(function), take<Parameters>(block, at)...};
    }
};

}  // namespace emulator
