#include "work.h"

#include <chrono>
#include <deque>
#include <random>

#include "device_memory.h"
#include "errors.h"
#include "kernel_launch.h"

namespace emulator {
namespace {

// A program that never waits would queue without end.
constexpr size_t kMostWaiting = 4096;

std::vector<OperationPtr> ready;
size_t unfinished = 0;
uint64_t numbers = 0;

size_t choose() {
    static uint64_t seed = 0;
    static std::mt19937_64 random;
    size_t chosen = 0;
    switch (current_order()) {
        case Order::forward:
            for (size_t i = 1; i < ready.size(); i++) {
                if (ready[i]->number < ready[chosen]->number) chosen = i;
            }
            break;
        case Order::reverse:
            for (size_t i = 1; i < ready.size(); i++) {
                if (ready[i]->number > ready[chosen]->number) chosen = i;
            }
            break;
        case Order::random:
            if (seed != current_seed()) random.seed(seed = current_seed());
            chosen = size_t(random() % ready.size());
            break;
    }
    return chosen;
}

}  // namespace

std::recursive_mutex& api_lock() {
    static std::recursive_mutex* const lock = new std::recursive_mutex;
    return *lock;
}

OperationPtr submit(std::function<CUresult()> run, const std::vector<OperationPtr>& after) {
    if (unfinished >= kMostWaiting) {
        const DeviceMemoryOpen open;
        while (unfinished >= kMostWaiting / 2 && make_progress()) {
        }
    }
    auto operation = std::make_shared<Operation>();
    operation->run = std::move(run);
    operation->number = numbers++;
    operation->submitted = true;
    for (const OperationPtr& before : after) {
        if (before == nullptr || before->done) continue;
        before->followers.push_back(operation);
        operation->missing++;
    }
    if (operation->missing == 0) ready.push_back(operation);
    unfinished++;
    return operation;
}

bool make_progress() {
    if (ready.empty()) return false;
    const size_t chosen = choose();
    const OperationPtr operation = ready[chosen];
    ready[chosen] = ready.back();
    ready.pop_back();
    // After a failed launch nothing runs any more; what waits for it must not wait for ever.
    if (operation->run && sticky_error() == CUDA_SUCCESS) {
        const DeviceMemoryOpen open;
        const CUresult result = operation->run();
        if (result != CUDA_SUCCESS) set_sticky_error(result);
    }
    operation->run = nullptr;
    operation->done = true;
    operation->finished_at = std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
    for (const OperationPtr& follower : operation->followers) {
        if (--follower->missing == 0) ready.push_back(follower);
    }
    operation->followers.clear();
    unfinished--;
    return true;
}

CUresult finish(const OperationPtr& operation) {
    if (operation != nullptr && !operation->done) {
        const DeviceMemoryOpen open;
        while (!operation->done && make_progress()) {
        }
    }
    return sticky_error();
}

CUresult finish_all() {
    if (!ready.empty()) {
        const DeviceMemoryOpen open;
        while (make_progress()) {
        }
    }
    return sticky_error();
}

void abandon_all() {
    while (!ready.empty()) {
        const OperationPtr operation = ready.back();
        ready.pop_back();
        operation->run = nullptr;
        operation->done = true;
        for (const OperationPtr& follower : operation->followers) {
            if (--follower->missing == 0) ready.push_back(follower);
        }
        operation->followers.clear();
    }
    unfinished = 0;
}

}  // namespace emulator
