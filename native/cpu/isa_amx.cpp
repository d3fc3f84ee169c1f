#define LSP_ISA_LEVEL 4
#define LSP_AMX 1
#include "kernels/matrix_ops.inl"
#include "kernels/vector_ops.inl"

namespace lsp {

const Isa kAmxIsa = {"amx", cpu_has_amx, &kVectorKernels, &kMatrixKernels};

}  // namespace lsp
