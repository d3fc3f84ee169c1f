// Operations on vectors and rows, of one instruction set.
#include "../kv_cache.h"

#include "activation.inl"
#include "norms.inl"
#include "rope.inl"
#include "attention.inl"
#include "argmax.inl"

namespace lsp {
namespace {

constexpr VectorKernels kVectorKernels = {
    activate,
    gated_activation,
    layer_norm,
    rms_norm,
    full_attention,
    rope_and_cache,
    causal_attention,
    argmax,
};

}  // namespace
}  // namespace lsp
