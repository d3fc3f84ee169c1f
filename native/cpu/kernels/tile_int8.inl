// Register tiles with integer dot products: acc [MR, 32] += sum over groups of scale * (x_int8 . w_int8 or int4).
#pragma once

#include "../kernels.h"
#include "../simd.h"

#if LSP_NEON_LEVEL == 3
#include "tile_int8_matrix.inl"
#elif LSP_NEON_LEVEL > 0
#include "tile_int8_neon.inl"
#elif LSP_ISA_LEVEL > 0
#include "tile_int8_x86.inl"
#if LSP_AMX
#include "tile_int8_amx.inl"
#endif
#else
#include "tile_int8_portable.inl"
#endif

namespace lsp {
namespace {

using Int8Tile = void (*)(const uint8_t*, int64_t, int, const QuantizedRows&, float*);

template <bool kWide>
constexpr Int8Tile kInt8Tiles[] = {
    int8_tile<1, kWide>,    int8_tile<2, kWide>,    int8_tile<3, kWide>,
    int8_tile<4, kWide>,    int8_tile<5, kWide>,    int8_tile<6, kWide>,
#if LSP_NEON_LEVEL == 3
    matrix_tile<7, kWide>,  matrix_tile<8, kWide>,  matrix_tile<9, kWide>,
    matrix_tile<10, kWide>, matrix_tile<11, kWide>, matrix_tile<12, kWide>,
#elif LSP_VECTOR_REGISTERS == 32
    int8_tile<7, kWide>,  int8_tile<8, kWide>,  int8_tile<9, kWide>,
    int8_tile<10, kWide>, int8_tile<11, kWide>, int8_tile<12, kWide>,
#endif
};

#if LSP_ISA_LEVEL == 4
// Zen 5 is slower where sums begin with numbers from memory than where they begin with zero. On Intel, whose additions
// share their ports with the products, what is added at the end would cost more.
template <bool kWide>
constexpr Int8Tile kInt8TilesForAmd[] = {
    int8_tile<1, kWide>,       int8_tile<2, kWide>,        int8_tile<3, kWide>,        int8_tile<4, kWide>,
    int8_tile<5, kWide>,       int8_tile<6, kWide>,        int8_tile<7, kWide, true>,  int8_tile<8, kWide, true>,
    int8_tile<9, kWide, true>, int8_tile<10, kWide, true>, int8_tile<11, kWide, true>, int8_tile<12, kWide, true>,
};

// Tile i takes i + 1 rows.
template <bool kWide>
inline const Int8Tile* int8_tiles() {
    return __builtin_cpu_is("amd") ? kInt8TilesForAmd<kWide> : kInt8Tiles<kWide>;
}
#else
template <bool kWide>
inline const Int8Tile* int8_tiles() {
    return kInt8Tiles<kWide>;
}
#endif

}  // namespace
}  // namespace lsp
