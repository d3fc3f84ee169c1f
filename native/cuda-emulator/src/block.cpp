#include "block.h"

#include <cstring>

#include "counting.h"
#include "errors.h"
#include "races.h"

namespace emulator {

__thread Thread* current_thread;

namespace {

// As on the cards of compute capability 8.0 to 8.9, of which no block gets more than 99 KiB everywhere.
constexpr size_t kMostShared = 99 * 1024;
constexpr size_t kSharedAlignment = 1024;

// The fiber that runs on this host thread was started by it.
__thread Block* running_block;

const char* name_of(Wait wait) {
    switch (wait) {
        case Wait::nothing:
            return "nothing";
        case Wait::barrier:
            return "barrier";
        case Wait::warp_barrier:
            return "warp_barrier";
        case Wait::shuffle:
            return "shuffle";
        case Wait::ballot:
            return "ballot";
        case Wait::ldmatrix:
            return "ldmatrix";
        case Wait::mma_f16:
            return "mma_f16";
        case Wait::mma_bf16:
            return "mma_bf16";
        case Wait::mma_s8:
            return "mma_s8";
        case Wait::finished:
            return "finished";
    }
    return "?";
}

std::string place_of_block(const KernelLaunch& launch, const Thread& thread) {
    return text_of("kernel %s, block (%d, %d, %d)", launch.kernel->name, thread.block_x, thread.block_y,
                   thread.block_z);
}

}  // namespace

std::string place_of(const Lane& lane) {
    return text_of("%s, thread %d", place_of_block(lane.warp->block->launch(), lane).c_str(), lane.thread);
}

Block::Block() : stacks_(kMostThreads), lanes_(kMostThreads), shared_(kMostShared + kSharedAlignment) {}

Block::~Block() = default;

uint32_t Block::random() {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return uint32_t(random_ >> 16);
}

uintptr_t Block::stack_top(const Lane& lane) const {
    return reinterpret_cast<uintptr_t>(stacks_.bottom(lane.thread)) + FiberStacks::size() - 64;
}

bool Block::below_stack(const Lane& lane, uintptr_t address) const {
    const uintptr_t bottom = reinterpret_cast<uintptr_t>(stacks_.bottom(lane.thread));
    return address < bottom && bottom - address <= 4096;
}

bool Block::run(const KernelLaunch& launch, LaunchState& state, int64_t index, bool counted) {
    launch_ = &launch;
    state_ = &state;
    order_ = state.order;
    random_ = (state.seed + 1) * 0x9e3779b97f4a7c15u + uint64_t(index + 1) * 0xbf58476d1ce4e5b9u;
    if (random_ == 0) random_ = 1;
    const int threads = int(launch.threads);
    warp_count_ = (threads + 31) / 32;
    at_barrier_ = finished_ = 0;
    failed_ = false;
    watched_ = 0;
    if (state.races) watched_ |= kWatchRaces;
    if (counted) watched_ |= kWatchCounts;
    if ((watched_ & kWatchRaces) != 0) {
        if (races_ == nullptr) races_ = std::make_unique<RaceChecker>();
        races_->begin_block(launch.shared_bytes);
    }
    if ((watched_ & kWatchCounts) != 0) {
        if (counter_ == nullptr) counter_ = std::make_unique<Counter>();
        counter_->begin_block(launch.kernel);
    }

    // Nothing is left of the block before: what was not written reads as NaN.
    unsigned char* shared = shared_.data();
    shared += (kSharedAlignment - reinterpret_cast<uintptr_t>(shared) % kSharedAlignment) % kSharedAlignment;
    memset(shared, 0xff, launch.shared_bytes);

    Thread thread{};
    thread.threads = threads;
    thread.block_x = int(index % launch.grid[0]);
    thread.block_y = int(index / launch.grid[0] % launch.grid[1]);
    thread.block_z = int(index / launch.grid[0] / launch.grid[1]);
    thread.grid_x = int(launch.grid[0]);
    thread.grid_y = int(launch.grid[1]);
    thread.grid_z = int(launch.grid[2]);
    thread.shared = shared;
    thread.shared_bytes = launch.shared_bytes;
    thread.watched = watched_;
    for (int i = 0; i < threads; i++) {
        Lane& lane = lanes_[i];
        thread.thread = i;
        static_cast<Thread&>(lane) = thread;
        lane.stack_pointer = stacks_.start(i, &fiber_main);
        lane.warp = &warps_[i / 32];
        lane.wait = Wait::nothing;
        lane.number = i % 32;
        lane.copies.clear();
        lane.group = 0;
    }
    for (int i = 0; i < warp_count_; i++) {
        Warp& warp = warps_[i];
        const int lanes = threads - i * 32;
        warp.all = warp.ready = lanes >= 32 ? 0xffffffffu : (1u << lanes) - 1;
        warp.arrived = 0;
        warp.number = i;
        warp.lanes = &lanes_[i * 32];
        warp.block = this;
        warp.turn = 0;
    }

    running_block = this;
    host_stack_ = nullptr;
    // Lanes go on from one to the next; this thread is back when none can run.
    enter(*next(nullptr), &host_stack_pointer_);
    current_thread = nullptr;
    running_block = nullptr;
    if (!failed_ && finished_ != threads) report_deadlock();
    if ((watched_ & kWatchCounts) != 0) counter_->end_block(warp_count_, *this);
    return !failed_;
}

void Block::enter(Lane& lane, void** save) {
    current_thread = &lane;
#if EMULATOR_ASAN
    void* frames;
    __sanitizer_start_switch_fiber(&frames, stacks_.bottom(lane.thread), FiberStacks::size());
    lsp_emulator_switch(save, lane.stack_pointer);
    __sanitizer_finish_switch_fiber(frames, nullptr, nullptr);
#else
    lsp_emulator_switch(save, lane.stack_pointer);
#endif
}

void Block::return_to_host(void** save) {
#if EMULATOR_ASAN
    void* frames;
    __sanitizer_start_switch_fiber(&frames, host_stack_, host_stack_size_);
    lsp_emulator_switch(save, host_stack_pointer_);
    __sanitizer_finish_switch_fiber(frames, nullptr, nullptr);
#else
    lsp_emulator_switch(save, host_stack_pointer_);
#endif
}

void Block::fiber_main() {
    Block& block = *running_block;
#if EMULATOR_ASAN
    const void* stack;
    size_t size;
    __sanitizer_finish_switch_fiber(nullptr, &stack, &size);
    if (block.host_stack_ == nullptr) {
        // The first fiber of a block comes from the host's stack.
        block.host_stack_ = stack;
        block.host_stack_size_ = size;
    }
#endif
    block.launch_->kernel->invoke(block.launch_->kernel->function, block.launch_->parameters.data());
    Lane& lane = current_lane();
    lane.wait = Wait::finished;
    lane.warp->ready &= ~(1u << lane.number);
    block.finished_++;
    block.leave(lane);
    __builtin_unreachable();
}

// The lane of the warp that runs after lane number `after` (-1: none ran before). The warp has one that can.
Lane* Block::next_in(const Warp& warp, int after) {
    const uint32_t ready = warp.ready;
    int lane;
    if (EMULATOR_LIKELY(order_ == Order::forward)) {
        const uint32_t above = after >= 31 ? 0 : ready & (0xffffffffu << (after + 1));
        lane = __builtin_ctz(above != 0 ? above : ready);
    } else if (order_ == Order::reverse) {
        const uint32_t below = after <= 0 ? 0 : ready & ((1u << after) - 1);
        lane = 31 - __builtin_clz(below != 0 ? below : ready);
    } else {
        const int turn = int(random() & 31);
        const uint32_t turned = turn == 0 ? ready : ready >> turn | ready << (32 - turn);
        lane = (__builtin_ctz(turned) + turn) & 31;
    }
    return &warp.lanes[lane];
}

Lane* Block::next(const Lane* from) {
    int warp;
    switch (order_) {
        case Order::forward:
            warp = from == nullptr ? 0 : from->warp->number + 1;
            for (int i = 0; i < warp_count_; i++, warp++) {
                if (warp >= warp_count_) warp = 0;
                if (warps_[warp].ready != 0) return next_in(warps_[warp], -1);
            }
            return nullptr;
        case Order::reverse:
            warp = from == nullptr ? warp_count_ - 1 : from->warp->number - 1;
            for (int i = 0; i < warp_count_; i++, warp--) {
                if (warp < 0) warp = warp_count_ - 1;
                if (warps_[warp].ready != 0) return next_in(warps_[warp], 32);
            }
            return nullptr;
        case Order::random:
            warp = int(random() % unsigned(warp_count_));
            for (int i = 0; i < warp_count_; i++, warp++) {
                if (warp >= warp_count_) warp = 0;
                if (warps_[warp].ready != 0) return next_in(warps_[warp], -1);
            }
            return nullptr;
    }
    return nullptr;
}

void Block::leave(Lane& lane) {
    const Warp& warp = *lane.warp;
    Lane* to = EMULATOR_LIKELY(warp.ready != 0) ? next_in(warp, lane.number) : next(&lane);
    if (EMULATOR_LIKELY(to != nullptr)) {
        enter(*to, &lane.stack_pointer);
    } else {
        return_to_host(&lane.stack_pointer);
    }
}

void Block::arrive_at_barrier(Lane& lane) {
    if (++at_barrier_ == lane.threads) {
        at_barrier_ = 0;
        if (EMULATOR_UNLIKELY(watched_ != 0)) block_met();
        for (int i = 0; i < warp_count_; i++) warps_[i].ready = warps_[i].all;
    } else {
        lane.wait = Wait::barrier;
        lane.warp->ready &= ~(1u << lane.number);
        leave(lane);
        lane.wait = Wait::nothing;
    }
}

void Block::block_met() {
    if ((watched_ & kWatchRaces) != 0) races_->block_met();
    if ((watched_ & kWatchCounts) != 0) {
        for (int i = 0; i < warp_count_; i++) counter_->warp_met(warps_[i]);
    }
}

void Block::warp_met(const Warp& warp, Wait what) {
    // Of all collectives only warp_barrier orders accesses to memory.
    if ((watched_ & kWatchRaces) != 0 && what == Wait::warp_barrier) races_->warp_met(warp);
    if ((watched_ & kWatchCounts) == 0) return;
    counter_->warp_met(warp);
    if (what == Wait::mma_f16 || what == Wait::mma_bf16 || what == Wait::mma_s8) {
        counter_->add_mma(what != Wait::mma_s8);
    }
}

void Block::fail(CUresult code, const std::string& text) {
    failed_ = true;
    state_->fail(code, text);
    // The block's other fibers are given up; kernels own nothing that would have to be destroyed.
    void* ignored;
    return_to_host(&ignored);
    __builtin_unreachable();
}

void Block::report_deadlock() {
    std::string text = place_of_block(*launch_, lanes_[0]) + ": the threads wait for each other:";
    const int threads = int(launch_->threads);
    for (int first = 0, end; first < threads; first = end) {
        end = first + 1;
        while (end < threads && lanes_[end].wait == lanes_[first].wait) end++;
        const Wait wait = lanes_[first].wait;
        text += first == 0 ? " " : "; ";
        text += end == first + 1 ? text_of("thread %d ", first) : text_of("threads %d to %d ", first, end - 1);
        text += wait == Wait::finished ? std::string(end == first + 1 ? "has returned" : "have returned")
                                       : text_of(end == first + 1 ? "waits at %s" : "wait at %s", name_of(wait));
    }
    if (threads % 32 != 0) text += text_of("; the last warp has %d lanes only", threads % 32);
    failed_ = true;
    state_->fail(CUDA_ERROR_LAUNCH_FAILED, text);
}

void refuse_collective(Lane& lane, Wait what) {
    const Warp& warp = *lane.warp;
    warp.block->fail(CUDA_ERROR_LAUNCH_FAILED,
                     text_of("%s: calls %s while lanes %#x of its warp wait at %s", place_of(lane).c_str(),
                             name_of(what), warp.arrived, name_of(warp.collective)));
}

}  // namespace emulator
