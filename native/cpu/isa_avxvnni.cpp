#define LSP_ISA_LEVEL 2
#include "kernels/matrix_ops.inl"
#include "kernels/vector_ops.inl"

namespace lsp {

const Isa kAvxVnniIsa = {"avxvnni", cpu_has_avxvnni, &kVectorKernels, &kMatrixKernels};

}  // namespace lsp
