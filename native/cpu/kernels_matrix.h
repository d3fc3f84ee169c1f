// Table of the operations in kernels/matrix_ops.inl; shapes as in llavasp_cpu.h, arguments already checked.
#pragma once

#include <stdint.h>

struct lsp_engine;
struct lsp_weight;

namespace lsp {

struct MatrixKernels {};

}  // namespace lsp
