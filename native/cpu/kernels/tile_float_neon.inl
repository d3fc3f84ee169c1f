// The tile of tile_float.inl for aarch64.
#pragma once

#include "../simd.h"
#include "../weights.h"
#include "weight_elements.inl"

namespace lsp {
namespace {

// Vectors of columns that a tile takes side by side: at most 24 sums. Few rows of x, the form bound by memory, take all
// of a panel, so that it is read in order.
constexpr int float_vectors(int rows) { return rows <= 2 ? 8 : rows <= 6 ? 4 : 2; }

// sum [MR][kVectors] += one k: MR numbers of x times kVectors vectors of weights.
template <int MR, int kVectors, typename From>
__attribute__((always_inline)) inline void multiply_one(const typename From::Element* w, const float* x,
                                                        F32 (&sum)[MR][kVectors]) {
    F32 weights[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; v++) weights[v] = From::at(w + v * kWidth);
    F32 four;
#pragma GCC unroll 12
    for (int i = 0; i < MR; i++) {
        // A lane of a vector costs the multiply-add nothing, a number spread over a vector does. Up to 12 bytes behind
        // the last number, which the scratch memory has; one row may lie elsewhere.
        if (MR > 1 && i % 4 == 0) four = load(x + i);
        const F32 a = set1(MR > 1 ? four.v[i % 4] : x[0]);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; v++) sum[i][v] = fma(weights[v], a, sum[i][v]);
    }
}

// x: [k][MR]. Sums start at zero and are added to acc at the end: blocks of k keep rounding errors small.
template <int MR, typename From>
void float_tile(const typename From::Element* w, int64_t k, const float* x, float* acc) {
    constexpr int kVectors = float_vectors(MR);
    // Eight sums do not hide the latency of the multiply-add.
    constexpr int kUnroll = MR == 1 ? 2 : 1;
    for (int column = 0; column < kPanel; column += kVectors * kWidth) {
        F32 sum[kUnroll][MR][kVectors];
#pragma GCC unroll 2
        for (int u = 0; u < kUnroll; u++) {
#pragma GCC unroll 12
            for (int i = 0; i < MR; i++) {
#pragma GCC unroll 8
                for (int v = 0; v < kVectors; v++) sum[u][i][v] = zero();
            }
        }
        const typename From::Element* weights = w + column;
        const float* numbers = x;
        int64_t left = k;
        for (; left >= kUnroll; left -= kUnroll) {
#pragma GCC unroll 2
            for (int u = 0; u < kUnroll; u++) {
                multiply_one<MR, kVectors, From>(weights, numbers, sum[u]);
                weights += kPanel;
                numbers += MR;
            }
        }
        if (left > 0) multiply_one<MR, kVectors, From>(weights, numbers, sum[0]);
#pragma GCC unroll 12
        for (int i = 0; i < MR; i++) {
#pragma GCC unroll 8
            for (int v = 0; v < kVectors; v++) {
                F32 total = sum[0][i][v];
                if (kUnroll == 2) total = total + sum[kUnroll - 1][i][v];
                float* out = acc + i * kPanel + column + v * kWidth;
                store(out, load(out) + total);
            }
        }
    }
}

}  // namespace
}  // namespace lsp
