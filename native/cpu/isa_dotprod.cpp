#define LSP_NEON_LEVEL 2
#include "kernels/matrix_ops.inl"
#include "kernels/vector_ops.inl"

namespace lsp {

const Isa kDotprodIsa = {"dotprod", cpu_has_dotprod, &kVectorKernels, &kMatrixKernels};

}  // namespace lsp
