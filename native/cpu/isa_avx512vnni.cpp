#define LSP_ISA_LEVEL 4
#include "kernels/matrix_ops.inl"
#include "kernels/vector_ops.inl"

namespace lsp {

const Isa kAvx512VnniIsa = {"avx512vnni", cpu_has_avx512vnni, &kVectorKernels, &kMatrixKernels};

}  // namespace lsp
