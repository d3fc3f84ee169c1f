// Ceilings of this machine, measured with the engine's own threads and instruction set.
#include <algorithm>
#include <chrono>
#include <cstring>

#include "api.h"
#include "engine.h"

using namespace lsp;

namespace {

template <typename Body>
double seconds_of(const Body& body) {
    const auto start = std::chrono::steady_clock::now();
    body();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Calls body(i) once for each of `count` items on the engine's threads.
template <typename Body>
void on_all_threads(lsp_engine& engine, int64_t count, const Body& body) {
    engine.pool.run(
        count, 1,
        [](void* context, int64_t begin, int64_t end, int) {
            for (int64_t i = begin; i < end; i++) (*static_cast<const Body*>(context))(i);
        },
        const_cast<void*>(static_cast<const void*>(&body)));
}

// Multiply-adds per second of all threads in the best of `repeats` runs, each long enough to be timed.
template <typename Rounds>
double best_rate(lsp_engine& engine, int32_t repeats, int64_t per_round, const Rounds& run_rounds) {
    const int threads = engine.pool.threads();
    int64_t rounds = 1 << 14;
    while (rounds < int64_t{1} << 40 && seconds_of([&] { run_rounds(rounds); }) < 0.02) rounds *= 2;
    double best = 0;
    for (int32_t r = 0; r < repeats; r++) {
        const double seconds =
            seconds_of([&] { on_all_threads(engine, threads, [&](int64_t) { run_rounds(rounds); }); });
        best = std::max(best, static_cast<double>(rounds) * static_cast<double>(per_round) * threads / seconds);
    }
    return best;
}

// Keeps the results of the loops alive.
template <typename T>
void keep(T value) {
    asm volatile("" : : "r,m"(value) : "memory");
}

}  // namespace

double lsp_bench_read_bandwidth(lsp_engine* engine, int64_t bytes, int32_t repeats) {
    if (engine == nullptr || repeats < 1) return -1;
    constexpr int64_t kChunk = 1 << 20;
    const int64_t chunks = bytes / kChunk;
    if (chunks < 1) return -1;
    try {
        Buffer buffer(static_cast<size_t>(chunks * kChunk));
        on_all_threads(*engine, chunks, [&](int64_t i) { std::memset(buffer.data() + i * kChunk, 1, kChunk); });
        double best = 1e30;
        // Every thread walks a stretch of its own from end to end, as a product does.
        const int64_t parts = std::min<int64_t>(engine->pool.threads(), chunks);
        for (int32_t r = 0; r < repeats; r++) {
            best = std::min(
                best, seconds_of([&] {
                    on_all_threads(*engine, parts, [&](int64_t i) {
                        const int64_t first = chunks * i / parts, end = chunks * (i + 1) / parts;
                        keep(engine->isa.matrix->bench_read(buffer.data() + first * kChunk, (end - first) * kChunk));
                    });
                }));
        }
        return best;
    } catch (const std::bad_alloc&) {
        return -1;
    }
}

double lsp_bench_fma(lsp_engine* engine, int32_t repeats) {
    if (engine == nullptr || repeats < 1) return -1;
    const MatrixKernels& kernels = *engine->isa.matrix;
    return 2 *
           best_rate(*engine, repeats, kernels.fma_per_round, [&](int64_t rounds) { keep(kernels.bench_fma(rounds)); });
}

double lsp_bench_int8_dot(lsp_engine* engine, int32_t repeats) {
    if (engine == nullptr || repeats < 1) return -1;
    const MatrixKernels& kernels = *engine->isa.matrix;
    return 2 * best_rate(*engine, repeats, kernels.int8_per_round,
                         [&](int64_t rounds) { keep(kernels.bench_int8_dot(rounds)); });
}
