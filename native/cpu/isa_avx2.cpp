#define LSP_ISA_LEVEL 1
#include "kernels/matrix_ops.inl"
#include "kernels/vector_ops.inl"

namespace lsp {

const Isa kAvx2Isa = {"avx2", cpu_has_avx2, &kVectorKernels, &kMatrixKernels};

}  // namespace lsp
