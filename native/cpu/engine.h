// The engine: an instruction set, its kernels, a pool of threads and scratch memory.
#pragma once

#include <vector>

#include "kernels.h"
#include "memory.h"
#include "thread_pool.h"

struct lsp_engine {
    lsp_engine(const lsp::Isa& isa, int threads) : isa(isa), pool(threads), thread_scratch(threads) {}

    const lsp::Isa& isa;
    lsp::ThreadPool pool;
    const int64_t second_level_cache = lsp::second_level_cache();
    lsp::Buffer scratch[static_cast<int>(lsp::Scratch::kCount)];
    std::vector<lsp::Buffer> thread_scratch;
};
