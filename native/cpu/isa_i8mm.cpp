#define LSP_NEON_LEVEL 3
#include "kernels/matrix_ops.inl"
#include "kernels/vector_ops.inl"

namespace lsp {

const Isa kI8mmIsa = {"i8mm", cpu_has_i8mm, &kVectorKernels, &kMatrixKernels};

}  // namespace lsp
