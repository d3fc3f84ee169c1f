// A pool that keeps its workers spinning for a moment between the short, frequent jobs of a forward pass and parks them
// when none comes.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace lsp {

// Works on items begin … end - 1; thread is 0 for the caller, below threads() otherwise. Must not throw.
using RangeFunction = void (*)(void* context, int64_t begin, int64_t end, int thread);

class ThreadPool {
  public:
    // threads counts the caller; throws std::system_error when a worker cannot be started.
    explicit ThreadPool(int threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    int threads() const { return static_cast<int>(workers_.size()) + 1; }

    // Calls function on all items of [0, count), handed out in chunks of at least `grain` to whoever is free; returns
    // when all are done.
    void run(int64_t count, int64_t grain, RangeFunction function, void* context);

  private:
    void work(int index);
    void take_chunks(int thread);
    void stop();

    // Number of the job in the upper bits, how many threads take part in the lower 16. A worker that takes part is
    // waited for, so it may read the job's fields; one that does not never looks at them.
    alignas(64) std::atomic<uint64_t> ticket_{0};
    alignas(64) std::atomic<int64_t> next_{0};
    alignas(64) std::atomic<int> running_{0};
    alignas(64) int64_t count_ = 0;
    int64_t grain_ = 1;
    RangeFunction function_ = nullptr;
    void* context_ = nullptr;
    int spins_;

    std::atomic<int> sleepers_{0};
    std::atomic<bool> caller_sleeps_{false};
    std::mutex mutex_;
    std::condition_variable wake_;
    std::condition_variable done_;
    std::vector<std::thread> workers_;
};

}  // namespace lsp
