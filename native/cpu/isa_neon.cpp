#define LSP_NEON_LEVEL 1
#include "kernels/matrix_ops.inl"
#include "kernels/vector_ops.inl"

namespace lsp {

const Isa kNeonIsa = {"neon", cpu_has_neon, &kVectorKernels, &kMatrixKernels};

}  // namespace lsp
