// The blocks of a launch over the host's threads.
#include <sched.h>

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <thread>

#include "block.h"
#include "counting.h"
#include "errors.h"
#include "faults.h"
#include "kernel_launch.h"

namespace emulator {
namespace {

std::atomic<int> order_now{-1};
std::atomic<uint64_t> seed_now{0};
std::atomic<int> races_now{-1};
std::atomic<int> most_run{0};

void order_from_environment() {
    if (order_now.load() >= 0) return;
    const char* order = getenv("LSP_EMULATOR_ORDER");
    const char* seed = getenv("LSP_EMULATOR_SEED");
    Order chosen = Order::forward;
    if (order != nullptr && std::string(order) == "reverse") chosen = Order::reverse;
    if (order != nullptr && std::string(order) == "random") chosen = Order::random;
    seed_now = seed == nullptr ? 0 : strtoull(seed, nullptr, 10);
    order_now = int(chosen);
}

int processors() {
    if (const char* wanted = getenv("LSP_EMULATOR_THREADS")) return std::max(1, atoi(wanted));
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
    return std::max(1, int(std::thread::hardware_concurrency()));
}

// Threads that all do the same job and wait for the next. Never destroyed: threads may not be joined while a process
// that loaded the library ends.
class Workers {
  public:
    explicit Workers(int count) {
        for (int i = 0; i < count; i++) std::thread([this, i] { loop(i); }).detach();
        count_ = count;
    }

    int count() const { return count_; }

    // job(i) on the first `helpers` workers and job(-1) here.
    void run(int helpers, const std::function<void(int)>& job) {
        {
            const std::lock_guard<std::mutex> lock(guard_);
            job_ = &job;
            helpers_ = helpers;
            busy_ = helpers;
            generation_++;
        }
        if (helpers > 0) wake_.notify_all();
        job(-1);
        std::unique_lock<std::mutex> lock(guard_);
        idle_.wait(lock, [this] { return busy_ == 0; });
    }

  private:
    int count_ = 0;
    std::mutex guard_;
    std::condition_variable wake_, idle_;
    const std::function<void(int)>* job_ = nullptr;
    int helpers_ = 0, busy_ = 0;
    uint64_t generation_ = 0;

    void loop(int index) {
        uint64_t seen = 0;
        for (;;) {
            const std::function<void(int)>* job;
            {
                std::unique_lock<std::mutex> lock(guard_);
                wake_.wait(lock, [&] { return generation_ != seen; });
                seen = generation_;
                if (index >= helpers_) continue;
                job = job_;
            }
            (*job)(index);
            const std::lock_guard<std::mutex> lock(guard_);
            if (--busy_ == 0) idle_.notify_one();
        }
    }
};

Workers& workers() {
    static Workers* const all = new Workers(processors() - 1);
    return *all;
}

Block& block_of(int worker) {
    static std::vector<std::unique_ptr<Block>>* const blocks =
        new std::vector<std::unique_ptr<Block>>(size_t(workers().count()) + 1);
    // Launches run one at a time, and each worker has an entry of its own.
    std::unique_ptr<Block>& block = (*blocks)[size_t(worker + 1)];
    if (block == nullptr) block = std::make_unique<Block>();
    return *block;
}

// `most` of `count` numbers, ascending: one in each of as many equal parts, not always at the same place in it, so that
// a grid whose width divides their distance does not give one column only.
std::vector<int64_t> spread(int64_t count, int64_t most) {
    constexpr double kGolden = 0.6180339887498949;
    std::vector<int64_t> chosen(size_t(std::min(count, most)));
    for (size_t i = 0; i < chosen.size(); i++) {
        const double place = double(i) * kGolden;
        chosen[i] = std::min(count - 1,
                             int64_t((double(i) + place - std::floor(place)) * double(count) / double(chosen.size())));
    }
    return chosen;
}

}  // namespace

Order current_order() {
    order_from_environment();
    return Order(order_now.load());
}

uint64_t current_seed() {
    order_from_environment();
    return seed_now.load();
}

bool race_check() {
    if (races_now < 0) {
        const char* text = getenv("LSP_EMULATOR_RACES");
        races_now = text != nullptr && std::string(text) != "0" ? 1 : 0;
    }
    return races_now != 0;
}

void LaunchState::fail(CUresult error, const std::string& message) {
    const std::lock_guard<std::mutex> lock(guard);
    if (failed) return;
    code = error;
    text = message;
    failed = true;
}

CUresult run_launch(const KernelLaunch& launch) {
    static std::atomic<uint64_t> launches{0};
    LaunchState state;
    state.order = current_order();
    state.seed = current_seed() * 1000003 + launches++;
    state.races = race_check();
    // Blocks that run, and which of them are counted. Empty: all.
    std::vector<int64_t> run;
    std::vector<bool> counted;
    int64_t count = launch.blocks();
    if (const int64_t most = most_run; most != 0 && most < count) {
        run = spread(count, most);
        count = most;
    }
    const bool counts = counting();
    if (counts) {
        count_launch(launch.kernel->name, launch.blocks());
        if (const int64_t most = counted_blocks_per_launch(); most != 0 && most < count) {
            counted.resize(size_t(count));
            for (const int64_t i : spread(count, most)) counted[size_t(i)] = true;
        }
    }
    std::vector<int64_t> shuffled;
    if (state.order == Order::random) {
        shuffled.resize(size_t(count));
        std::iota(shuffled.begin(), shuffled.end(), int64_t{0});
        std::shuffle(shuffled.begin(), shuffled.end(), std::mt19937_64(state.seed));
    }
    std::atomic<int64_t> taken{0};
    // The cache sees one block after the other, the same ones in every run.
    const int helpers = counting_cache() ? 0 : int(std::min<int64_t>(workers().count(), count - 1));
    workers().run(helpers, [&](int worker) {
        catch_faults();
        Block& block = block_of(worker);
        while (!state.failed) {
            const int64_t next = taken++;
            if (next >= count) break;
            const int64_t place = state.order == Order::forward   ? next
                                  : state.order == Order::reverse ? count - 1 - next
                                                                  : shuffled[size_t(next)];
            const int64_t index = run.empty() ? place : run[size_t(place)];
            if (!block.run(launch, state, index, counts && (counted.empty() || counted[size_t(place)]))) break;
        }
    });
    if (counts) count_launch_end(launch.kernel->name);
    if (!state.failed) return CUDA_SUCCESS;
    std::string text = state.text;
    if (state.order == Order::reverse) text += " (order: reverse)";
    if (state.order == Order::random)
        text += text_of(" (order: random, seed %llu)", (unsigned long long)current_seed());
    return report(state.code, "%s", text.c_str());
}

}  // namespace emulator

void lspEmulatorSetOrder(int order, unsigned seed) {
    emulator::seed_now = seed;
    emulator::order_now = order >= 0 && order <= 2 ? order : 0;
}

void lspEmulatorSetRaceCheck(int on) { emulator::races_now = on != 0 ? 1 : 0; }

void lspEmulatorRunOnly(int blocks_of_a_launch) { emulator::most_run = std::max(0, blocks_of_a_launch); }
