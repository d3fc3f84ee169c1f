// Matrix products and what is built on them, of one instruction set.
namespace lsp {
namespace {

constexpr MatrixKernels kMatrixKernels = {};

}  // namespace
}  // namespace lsp
