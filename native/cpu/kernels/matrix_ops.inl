// Matrix products and what is built on them, of one instruction set.
#pragma once

#include "ceilings.inl"
#include "linear.inl"
#include "patch_embedding.inl"
#include "spatial.inl"

namespace lsp {
namespace {

constexpr MatrixKernels kMatrixKernels = {
    linear,         patch_embedding,           adaptive_pool, spatial_tokens, detail_fusion, bench_read, bench_fma,
    bench_int8_dot, int64_t{kChains} * kWidth, kInt8PerRound,
};

}  // namespace
}  // namespace lsp
