// Fibers: a stack each and a context switch by hand (ucontext saves the signal mask with a system call: 20 times
// slower).
#pragma once

#include <cstddef>

namespace emulator {

/// Stacks of one host thread's fibers. They have different alignments within a page and an odd distance in pages, so
/// that the same depth of all stacks does not fall into the same cache sets.
class FiberStacks {
  public:
    explicit FiberStacks(int count);
    ~FiberStacks();
    FiberStacks(const FiberStacks&) = delete;
    FiberStacks& operator=(const FiberStacks&) = delete;

    /// A stack pointer that starts `entry` when it is switched to. entry must not return.
    void* start(int fiber, void (*entry)());

    /// The lowest address of a fiber's stack and its size.
    const void* bottom(int fiber) const;
    static size_t size();

  private:
    int count_;
    char* memory_;
};

}  // namespace emulator

// AddressSanitizer must be told which stack is in use.
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define EMULATOR_ASAN 1
#else
#define EMULATOR_ASAN 0
#endif
// ThreadSanitizer takes each fiber for a thread and must be told what orders them. Kernels are built with it and this
// library is not (EMULATOR_TSAN comes from CMake): what it does for them would look like accesses of theirs.
#ifndef EMULATOR_TSAN
#define EMULATOR_TSAN 0
#endif
#if EMULATOR_TSAN
#include <sanitizer/tsan_interface.h>
extern "C" {
void __tsan_read_range(void* address, unsigned long bytes);
void __tsan_write_range(void* address, unsigned long bytes);
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
void AnnotateBenignRaceSized(const char* file, int line, const volatile void* memory, size_t bytes, const char* what);
}
#endif

/// Leaves the running fiber, whose stack pointer goes to *save, for the one whose stack pointer is `to`.
extern "C" void lsp_emulator_switch(void** save, void* to) __attribute__((visibility("hidden")));
