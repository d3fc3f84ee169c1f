#include <chrono>

#include "support.h"
#include "thread_pool.h"

namespace {

struct Counts {
    explicit Counts(int64_t size) : items(static_cast<size_t>(size)) {}
    std::vector<std::atomic<int>> items;
    std::atomic<int> worst_thread{0};
};

void count_items(void* context, int64_t begin, int64_t end, int thread) {
    auto& counts = *static_cast<Counts*>(context);
    for (int64_t i = begin; i < end; i++) counts.items[static_cast<size_t>(i)]++;
    int worst = counts.worst_thread.load();
    while (thread > worst && !counts.worst_thread.compare_exchange_weak(worst, thread)) {
    }
}

}  // namespace

TEST(PoolTest, DoesEveryItemOnce) {
    for (const int threads : {1, 2, 3, 8, 64}) {
        lsp::ThreadPool pool(threads);
        EXPECT_EQ(threads, pool.threads());
        for (const int64_t count : {0, 1, 2, 7, 64, 1000}) {
            for (const int64_t grain : {0, 1, 3, 100, 5000}) {
                Counts counts(count);
                pool.run(count, grain, count_items, &counts);
                for (const auto& item : counts.items) ASSERT_EQ(1, item.load());
                EXPECT_LT(counts.worst_thread.load(), threads);
            }
        }
    }
}

TEST(PoolTest, SurvivesManyShortJobsAndPauses) {
    lsp::ThreadPool pool(4);
    int64_t plain = 0;  // written by one item of each job: the pool orders the jobs
    for (int round = 0; round < 3000; round++) {
        pool.run(
            1 + round % 9, 1,
            [](void* context, int64_t begin, int64_t end, int) {
                if (begin <= 0 && end > 0) ++*static_cast<int64_t*>(context);
            },
            &plain);
        if (round % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    EXPECT_EQ(3000, plain);
}

TEST(PoolTest, StartsAndStopsIdle) {
    for (int i = 0; i < 50; i++) lsp::ThreadPool pool(1 + i % 8);
}

TEST(EngineTest, NamesItsInstructionSet) {
    const auto isas = available_isas();
    ASSERT_FALSE(isas.empty());
    EXPECT_EQ("scalar", isas.front());
    lsp_engine* engine = nullptr;
    ASSERT_EQ(LSP_OK, lsp_engine_create(nullptr, 1, &engine));
    EXPECT_EQ(isas.back(), lsp_engine_isa(engine));
    lsp_engine_destroy(engine);
    engine = nullptr;
    EXPECT_EQ(LSP_UNKNOWN_ISA, lsp_engine_create("avx1024", 1, &engine));
    EXPECT_EQ(LSP_INVALID_ARGUMENT, lsp_engine_create(nullptr, 0, &engine));
    EXPECT_EQ(nullptr, engine);
    EXPECT_EQ(LSP_ABI_VERSION, lsp_abi_version());
}

class CeilingTest : public EveryIsa {};

TEST_P(CeilingTest, AreMeasured) {
    Engine engine = make_engine(GetParam(), 2);
    EXPECT_GT(lsp_bench_read_bandwidth(engine.get(), 8 << 20, 2), 0);
    // Low enough for an emulated processor.
    EXPECT_GT(lsp_bench_fma(engine.get(), 1), 1e6);
    EXPECT_GT(lsp_bench_int8_dot(engine.get(), 1), 1e6);
    EXPECT_LT(lsp_bench_read_bandwidth(engine.get(), 0, 2), 0);
}

FOR_EVERY_ISA(CeilingTest);
