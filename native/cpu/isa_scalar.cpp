#define LSP_ISA_LEVEL 0
#include "kernels/matrix_ops.inl"
#include "kernels/vector_ops.inl"

namespace lsp {

const Isa kScalarIsa = {"scalar", [] { return true; }, &kVectorKernels, &kMatrixKernels};

}  // namespace lsp
