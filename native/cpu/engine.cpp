#include "engine.h"

namespace lsp {

void* scratch(lsp_engine& engine, Scratch which, size_t bytes) {
    return engine.scratch[static_cast<int>(which)].reserve(bytes);
}

void reserve_thread_scratch(lsp_engine& engine, size_t bytes) {
    for (Buffer& buffer : engine.thread_scratch) buffer.reserve(bytes);
}

void* thread_scratch(lsp_engine& engine, int thread) { return engine.thread_scratch[thread].data(); }

int threads(const lsp_engine& engine) { return engine.pool.threads(); }

int64_t second_level_cache(const lsp_engine& engine) { return engine.second_level_cache; }

void run(lsp_engine& engine, int64_t count, int64_t grain, RangeFunction function, void* context) {
    engine.pool.run(count, grain, function, context);
}

}  // namespace lsp
