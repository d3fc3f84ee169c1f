// Matrix products and what is built on them, of one instruction set. vector_ops.inl comes first: activations and LayerNorm are its own.
#include "../weights.h"

#include "tile_float.inl"
#include "tile_int8.inl"
#include "pack.inl"
#include "linear.inl"
#include "norms_tmp.inl"
#include "patch_embedding.inl"
#include "spatial.inl"
#undef layer_norm
#include "ceilings.inl"

namespace lsp {
namespace {

constexpr MatrixKernels kMatrixKernels = {
    linear,
    patch_embedding,
    adaptive_pool,
    spatial_tokens,
    detail_fusion,
    bench_read,
    bench_fma,
    bench_int8_dot,
    int64_t{kChains} * kWidth,
    kInt8PerRound,
};

}  // namespace
}  // namespace lsp
