#pragma once

#include "../kernels.h"
#include "../simd.h"

namespace lsp {
namespace {

// body(begin, end, thread) over [0, count) in chunks of at least `grain`; body must not throw.
template <typename Body>
inline void parallel_for(lsp_engine& engine, int64_t count, int64_t grain, const Body& body) {
    run(
        engine, count, grain,
        [](void* context, int64_t begin, int64_t end, int thread) {
            (*static_cast<const Body*>(context))(begin, end, thread);
        },
        const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace
}  // namespace lsp
