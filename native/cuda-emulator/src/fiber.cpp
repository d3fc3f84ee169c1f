#include "fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>
#include <thread>

// Saves what a called function must keep. Jumping instead of returning keeps the processor's return predictor in step.
#if defined(__x86_64__)
asm(R"(
    .text
    .p2align 4
    .globl lsp_emulator_switch
    .hidden lsp_emulator_switch
    .type lsp_emulator_switch, @function
lsp_emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    popq %rcx
    jmp *%rcx
    .size lsp_emulator_switch, . - lsp_emulator_switch
)");
#elif defined(__aarch64__)
asm(R"(
    .text
    .p2align 4
    .globl lsp_emulator_switch
    .hidden lsp_emulator_switch
    .type lsp_emulator_switch, %function
lsp_emulator_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    br x30
    .size lsp_emulator_switch, . - lsp_emulator_switch
)");
#else
#error "the emulator's context switch is written for x86-64 and aarch64"
#endif

namespace emulator {
namespace {

constexpr size_t kPage = 4096;
// Sanitizers make frames larger and write their reports from the fiber.
// The lowest page of each is a guard where there are not too many: the kernel limits a process's mappings.
constexpr size_t kPages = EMULATOR_TSAN ? 129 : EMULATOR_ASAN ? 65 : 17;
constexpr unsigned kMostGuardedThreads = 16;

}  // namespace

FiberStacks::FiberStacks(int count) : count_(count) {
    void* memory = mmap(nullptr, count * kPages * kPage, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    memory_ = static_cast<char*>(memory);
    // A huge page per stack would waste most of it.
    madvise(memory_, count * kPages * kPage, MADV_NOHUGEPAGE);
#if EMULATOR_TSAN
    // A stack is used by one fiber after the other, which nothing orders.
    AnnotateBenignRaceSized(__FILE__, __LINE__, memory_, count * kPages * kPage, "stacks of fibers");
#endif
    if (std::thread::hardware_concurrency() <= kMostGuardedThreads) {
        for (int i = 0; i < count; i++) mprotect(memory_ + i * kPages * kPage, kPage, PROT_NONE);
    }
}

FiberStacks::~FiberStacks() { munmap(memory_, count_ * kPages * kPage); }

const void* FiberStacks::bottom(int fiber) const { return memory_ + fiber * kPages * kPage + kPage; }

size_t FiberStacks::size() { return (kPages - 1) * kPage; }

void* FiberStacks::start(int fiber, void (*entry)()) {
    char* top = memory_ + (fiber + 1) * kPages * kPage - (fiber % 32) * 128 - 64;
    uintptr_t* words = reinterpret_cast<uintptr_t*>(top);
#if EMULATOR_ASAN
    // What a fiber that was given up has left.
    __asan_unpoison_memory_region(bottom(fiber), size());
#endif
#if defined(__x86_64__)
    // Six saved registers, the address to go to, and at it a stack pointer as behind a call.
    words -= 2;
    words[0] = reinterpret_cast<uintptr_t>(entry);
    words[1] = 0;
    words -= 6;
    for (int i = 0; i < 6; i++) words[i] = 0;
#else
    words -= 20;
    for (int i = 0; i < 20; i++) words[i] = 0;
    words[11] = reinterpret_cast<uintptr_t>(entry);
#endif
    return words;
}

}  // namespace emulator
