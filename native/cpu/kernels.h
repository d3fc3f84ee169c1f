// What the kernels see of the engine. Included by the units that are compiled for one instruction set: nothing here may
// define a function with external or vague linkage, or code for that instruction set could be linked into the rest.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "isa.h"
#include "kernels_matrix.h"
#include "kernels_vector.h"
#include "llavasp_cpu.h"

namespace lsp {

// Named blocks of memory that live as long as the engine; each operation uses those it needs, for the length of a call.
enum class Scratch { kProducts, kFirst, kSecond, kThird, kFourth, kCount };

// At least `bytes`, 64-byte aligned, undefined contents; may move when it grows. Throws std::bad_alloc.
void* scratch(lsp_engine& engine, Scratch which, size_t bytes);

// Makes sure that thread_scratch holds `bytes` for every thread; call it before run, never inside. Throws
// std::bad_alloc.
void reserve_thread_scratch(lsp_engine& engine, size_t bytes);
void* thread_scratch(lsp_engine& engine, int thread);

int threads(const lsp_engine& engine);

// Bytes of the second-level cache of one core.
int64_t second_level_cache(const lsp_engine& engine);

// See ThreadPool::run. parallel_for in kernels/parallel.inl takes a lambda.
void run(lsp_engine& engine, int64_t count, int64_t grain,
         void (*function)(void* context, int64_t begin, int64_t end, int thread), void* context);

}  // namespace lsp
