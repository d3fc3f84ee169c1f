// Operations on vectors and rows, of one instruction set.
#include "activation.inl"

namespace lsp {
namespace {

constexpr VectorKernels kVectorKernels = {
    activate,
};

}  // namespace
}  // namespace lsp
