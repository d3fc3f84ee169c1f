// Operations on vectors and rows, of one instruction set.
#pragma once

#include "activation.inl"
#include "argmax.inl"
#include "attention.inl"
#include "norms.inl"
#include "rope.inl"

namespace lsp {
namespace {

constexpr VectorKernels kVectorKernels = {
    activate, gated_activation, layer_norm, rms_norm, full_attention, rope_and_cache, causal_attention, argmax,
};

}  // namespace
}  // namespace lsp
