#define LSP_ISA_LEVEL 3
#include "kernels/matrix_ops.inl"
#include "kernels/vector_ops.inl"

namespace lsp {

const Isa kAvx512Isa = {"avx512", cpu_has_avx512, &kVectorKernels, &kMatrixKernels};

}  // namespace lsp
