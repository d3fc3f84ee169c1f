// Table of the operations in kernels/vector_ops.inl; shapes as in llavasp_cpu.h, arguments already checked.
#pragma once

#include <stdint.h>

struct lsp_engine;

namespace lsp {

struct VectorKernels {
    void (*activate)(lsp_engine& engine, float* destination, const float* source, int64_t count, int activation);
};

}  // namespace lsp
