#define LSP_ISA_LEVEL 0
#include "kernels.h"
#include "simd.h"
// After the two above: the kernels.
#include "kernels/parallel.inl"
#include "kernels/vector_ops.inl"
#include "kernels/matrix_ops.inl"

namespace lsp {

const Isa kScalarIsa = {"scalar", [] { return true; }, &kVectorKernels, &kMatrixKernels};

}  // namespace lsp
