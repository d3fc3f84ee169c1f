// One block of a kernel on one host thread: its CUDA threads are fibers that leave the processor only where they wait.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "emulator/device.h"
#include "fiber.h"
#include "kernel_launch.h"

namespace emulator {

/// What a thread waits for.
enum class Wait : uint8_t {
    nothing,
    barrier,
    warp_barrier,
    shuffle,
    ballot,
    ldmatrix,
    mma_f16,
    mma_bf16,
    mma_s8,
    finished
};

struct Warp;
class Block;
class Counter;
class RaceChecker;

// Bits of Thread::watched.
enum : uint32_t { kWatchRaces = 1, kWatchCounts = 2 };

/// A cp.async that is under way.
struct AsyncCopy {
    unsigned char* shared;
    const unsigned char* global;
    int bytes;
    uint32_t group;
};

/// A CUDA thread with its fiber.
struct Lane : Thread {
    void* stack_pointer = nullptr;
    Warp* warp = nullptr;
    Wait wait = Wait::nothing;
    int number = 0;  // in the warp
    // Operands of the collective that the lane waits in.
    void* result = nullptr;
    const void* operands[2] = {};
    std::vector<AsyncCopy> copies;
    uint32_t group = 0;
};

struct alignas(64) Warp {
    uint32_t ready = 0;    // lanes that can run
    uint32_t arrived = 0;  // lanes that wait in the collective
    uint32_t all = 0;      // lanes that there are
    Wait collective = Wait::nothing;
    int number = 0;
    Lane* lanes = nullptr;
    Block* block = nullptr;
    // Two sets, used in turn: a lane may enter the next collective while others still read the last one's values.
    uint32_t turn = 0;
    uint32_t values[2][32];
};

/// Runs blocks one after the other. The object is large and is kept per host thread.
class Block {
  public:
    static constexpr int kMostThreads = 1024;

    Block();
    ~Block();
    /// Block number `index` of the grid, x fastest. False if it failed: the launch then has its error.
    bool run(const KernelLaunch& launch, LaunchState& state, int64_t index, bool counted);

    // What lanes call.
    void leave(Lane& lane);
    void arrive_at_barrier(Lane& lane);
    /// For watched threads only: the lanes of a warp have met in `what`.
    void warp_met(const Warp& warp, Wait what);
    RaceChecker& races() { return *races_; }
    Counter& counter() { return *counter_; }
    [[noreturn]] void fail(CUresult code, const std::string& text);

    const KernelLaunch& launch() const { return *launch_; }
    Warp& warp(int index) { return warps_[index]; }
    /// An aligned address at the upper end of the lane's stack.
    uintptr_t stack_top(const Lane& lane) const;
    /// Whether the address is where a stack goes that is too deep.
    bool below_stack(const Lane& lane, uintptr_t address) const;

  private:
    FiberStacks stacks_;
    std::vector<Lane> lanes_;
    Warp warps_[kMostThreads / 32];
    std::vector<unsigned char> shared_;
    const KernelLaunch* launch_ = nullptr;
    LaunchState* state_ = nullptr;
    Order order_ = Order::forward;
    uint64_t random_ = 1;
    int warp_count_ = 0;
    int at_barrier_ = 0;
    int finished_ = 0;
    bool failed_ = false;
    uint32_t watched_ = 0;
    std::unique_ptr<RaceChecker> races_;
    std::unique_ptr<Counter> counter_;
    void* host_stack_pointer_ = nullptr;
    // Of the host's thread, where a sanitizer asks for them.
    const void* host_stack_ = nullptr;
    size_t host_stack_size_ = 0;

    uint32_t random();
    static void fiber_main();
    Lane* next_in(const Warp& warp, int after);
    Lane* next(const Lane* from);
    void enter(Lane& lane, void** save);
    void return_to_host(void** save);
    void report_deadlock();
    void block_met();
};

inline Lane& current_lane() { return *static_cast<Lane*>(current_thread); }

/// "kernel k, block (x, y, z), thread t".
std::string place_of(const Lane& lane);

/// An access of a watched thread; site: where in the kernel's code.
void watch_at(const void* site, detail::Access access, const void* pointer, size_t bytes);

[[noreturn]] void refuse_collective(Lane& lane, Wait what);

/// The lanes of a warp meet in a collective; the last to come runs execute(warp) for all.
template <typename Execute>
inline void gather(Lane& lane, Wait what, Execute execute) {
    Warp& warp = *lane.warp;
    if (warp.arrived == 0) {
        warp.collective = what;
    } else if (EMULATOR_UNLIKELY(warp.collective != what)) {
        refuse_collective(lane, what);
    }
    const uint32_t bit = 1u << lane.number;
    warp.arrived |= bit;
    if (warp.arrived == 0xffffffffu) {
        execute(warp);
        if (EMULATOR_UNLIKELY(lane.watched)) warp.block->warp_met(warp, what);
        warp.arrived = 0;
        warp.turn ^= 1;
        warp.ready = 0xffffffffu;
    } else {
        lane.wait = what;
        warp.ready &= ~bit;
        warp.block->leave(lane);
        lane.wait = Wait::nothing;
    }
}

}  // namespace emulator
