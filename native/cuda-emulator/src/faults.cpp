#include "faults.h"

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "block.h"
#include "device_memory.h"
#include "errors.h"

namespace emulator {
namespace {

constexpr size_t kSignalStack = 64 * 1024;

struct sigaction before_segv, before_bus;

// Runs on the fiber, whose own frames are given up.
[[noreturn]] void fault_in_kernel(uintptr_t address) {
    Lane& lane = current_lane();
    Block& block = *lane.warp->block;
    const uintptr_t offset = address - detail::device_map.base;
    char where[200];
    std::string text;
    if (block.below_stack(lane, address)) {
        text = "the thread's stack overflows";
    } else if (offset < detail::device_map.bytes) {
        text = text_of("out-of-bounds access to global memory at %s", describe_device_address(address, where));
    } else {
        text = text_of("access to %#zx, which is not device memory", size_t(address));
    }
    block.fail(CUDA_ERROR_ILLEGAL_ADDRESS, place_of(lane) + ": " + text);
}

void write_error(const char* text) { [[maybe_unused]] const ssize_t written = write(2, text, strlen(text)); }

void on_fault(int signal, siginfo_t* info, void* context) {
    const uintptr_t address = reinterpret_cast<uintptr_t>(info->si_addr);
    if (current_thread != nullptr) {
        Lane& lane = current_lane();
        const uintptr_t top = lane.warp->block->stack_top(lane);
        mcontext_t& machine = static_cast<ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
        machine.gregs[REG_RIP] = greg_t(reinterpret_cast<uintptr_t>(&fault_in_kernel));
        machine.gregs[REG_RDI] = greg_t(address);
        machine.gregs[REG_RSP] = greg_t(top - 8);
#else
        machine.pc = reinterpret_cast<uintptr_t>(&fault_in_kernel);
        machine.regs[0] = address;
        machine.sp = top;
#endif
        return;
    }
    if (address - detail::device_map.base < detail::device_map.bytes) {
        write_error("CUDA emulator: code of the host touches device memory\n");
    }
    const struct sigaction& before = signal == SIGSEGV ? before_segv : before_bus;
    if ((before.sa_flags & SA_SIGINFO) != 0) {
        before.sa_sigaction(signal, info, context);
    } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
        before.sa_handler(signal);
    } else {
        // The access happens again and ends the process.
        sigaction(signal, &before, nullptr);
    }
}

}  // namespace

void catch_faults() {
    static const bool installed = [] {
        struct sigaction action {};
        action.sa_sigaction = &on_fault;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigemptyset(&action.sa_mask);
        sigaction(SIGSEGV, &action, &before_segv);
        sigaction(SIGBUS, &action, &before_bus);
        return true;
    }();
    static_cast<void>(installed);
    static thread_local bool has_stack = false;
    if (has_stack) return;
    has_stack = true;
    stack_t stack{};
    if (sigaltstack(nullptr, &stack) == 0 && (stack.ss_flags & SS_DISABLE) != 0) {
        // Kept until the process ends: the thread may use it to its end.
        stack.ss_sp = mmap(nullptr, kSignalStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        stack.ss_size = kSignalStack;
        stack.ss_flags = 0;
        if (stack.ss_sp != MAP_FAILED) sigaltstack(&stack, nullptr);
    }
}

}  // namespace emulator
