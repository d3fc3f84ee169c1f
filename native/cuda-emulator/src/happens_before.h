// What orders the accesses of a kernel's threads, for ThreadSanitizer: the beginning and end of launches, barriers,
// warp_barriers. Everything here is empty in a build without it.
#pragma once

#include <cstddef>

#include "fiber.h"

namespace emulator {

/// A point that some reach before others leave. Its address stands for it.
class Meeting {
  public:
    /// What this thread did before is seen by all who leave later.
    void reach() {
#if EMULATOR_TSAN
        __tsan_release(this);
#endif
    }
    void leave() {
#if EMULATOR_TSAN
        __tsan_acquire(this);
#endif
    }

  private:
    char place_ = 0;
};

/// ThreadSanitizer's view of a fiber, or of the host's thread.
class SanitizedFiber {
  public:
#if EMULATOR_TSAN
    /// Unless it was before: that is slow.
    void create() {
        if (fiber_ == nullptr) fiber_ = __tsan_create_fiber(0);
    }
    void take_current() { fiber_ = __tsan_get_current_fiber(); }
    void enter() { __tsan_switch_to_fiber(fiber_, __tsan_switch_to_fiber_no_sync); }

  private:
    void* fiber_ = nullptr;
#else
    void create() {}
    void take_current() {}
    void enter() {}
#endif
};

/// Accesses that the library makes for the running thread of a kernel.
inline void sanitize_read([[maybe_unused]] const void* pointer, [[maybe_unused]] size_t bytes) {
#if EMULATOR_TSAN
    __tsan_read_range(const_cast<void*>(pointer), bytes);
#endif
}
inline void sanitize_write([[maybe_unused]] void* pointer, [[maybe_unused]] size_t bytes) {
#if EMULATOR_TSAN
    __tsan_write_range(pointer, bytes);
#endif
}

/// While it lives, what the library does for itself in a thread of a kernel (intercepted calls such as memmove) is not
/// taken for accesses of the kernel.
class SanitizerLooksAway {
  public:
    SanitizerLooksAway() {
#if EMULATOR_TSAN
        AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
        AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
#endif
    }
    ~SanitizerLooksAway() {
#if EMULATOR_TSAN
        AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
        AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
#endif
    }
};

}  // namespace emulator
