#include "thread_pool.h"

#include <algorithm>

namespace lsp {
namespace {

constexpr uint64_t kJob = uint64_t{1} << 16;
constexpr uint64_t kThreads = kJob - 1;

inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
    // Spinning only helps while every thread has a processor of its own.
    const unsigned processors = std::thread::hardware_concurrency();
    spins_ = static_cast<unsigned>(threads) <= processors ? 20000 : 0;
    try {
        for (int i = 1; i < threads; i++) workers_.emplace_back([this, i] { work(i); });
    } catch (...) {
        stop();
        throw;
    }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        ticket_.store((ticket_.load() & ~kThreads) + kJob);  // a job for nobody: the end
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
}

void ThreadPool::run(int64_t count, int64_t grain, RangeFunction function, void* context) {
    if (count <= 0) return;
    grain = std::max<int64_t>(grain, 1);
    const int64_t chunks = (count + grain - 1) / grain;
    const int parts = static_cast<int>(std::min<int64_t>(threads(), chunks));
    if (parts == 1) {
        function(context, 0, count, 0);
        return;
    }

    count_ = count;
    grain_ = grain;
    function_ = function;
    context_ = context;
    next_.store(0, std::memory_order_relaxed);
    running_.store(parts - 1, std::memory_order_relaxed);
    const uint64_t job = (ticket_.load(std::memory_order_relaxed) & ~kThreads) + kJob;
    ticket_.store(job | static_cast<uint64_t>(parts));
    if (sleepers_.load() > 0) {
        { std::lock_guard<std::mutex> lock(mutex_); }
        wake_.notify_all();
    }

    take_chunks(0);

    for (int i = 0; i < spins_ && running_.load(std::memory_order_acquire) != 0; i++) relax();
    if (running_.load(std::memory_order_acquire) != 0) {
        std::unique_lock<std::mutex> lock(mutex_);
        caller_sleeps_.store(true);
        done_.wait(lock, [this] { return running_.load() == 0; });
        caller_sleeps_.store(false);
    }
}

void ThreadPool::take_chunks(int thread) {
    // A share of what is left: long chunks first, whose memory is one stream, short ones last, so that all end
    // together.
    const int64_t shares = 2 * threads();
    int64_t begin = next_.load(std::memory_order_relaxed);
    while (begin < count_) {
        const int64_t left = count_ - begin;
        const int64_t size = std::min(std::max(grain_, left / shares), left);
        if (!next_.compare_exchange_weak(begin, begin + size, std::memory_order_relaxed)) continue;
        function_(context_, begin, begin + size, thread);
        begin = next_.load(std::memory_order_relaxed);
    }
}

void ThreadPool::work(int index) {
    uint64_t seen = 0;
    for (;;) {
        uint64_t ticket = ticket_.load(std::memory_order_acquire);
        for (int i = 0; i < spins_ && ticket == seen; i++) {
            relax();
            ticket = ticket_.load(std::memory_order_acquire);
        }
        if (ticket == seen) {
            std::unique_lock<std::mutex> lock(mutex_);
            sleepers_.fetch_add(1);
            wake_.wait(lock, [&] { return (ticket = ticket_.load()) != seen; });
            sleepers_.fetch_sub(1);
        }
        seen = ticket;
        if (index < static_cast<int>(ticket & kThreads)) {
            take_chunks(index);
            if (running_.fetch_sub(1) == 1 && caller_sleeps_.load()) {
                { std::lock_guard<std::mutex> lock(mutex_); }
                done_.notify_one();
            }
        } else if ((ticket & kThreads) == 0) {
            return;
        }
    }
}

}  // namespace lsp
