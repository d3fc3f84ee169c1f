#include "kernels/matrix_ops.inl"
#include "kernels/vector_ops.inl"

namespace lsp {

const Isa kScalarIsa = {"scalar", [] { return true; }, &kVectorKernels, &kMatrixKernels};

}  // namespace lsp
