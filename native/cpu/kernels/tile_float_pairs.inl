// The tile of tile_float.inl that takes two vectors of columns side by side: x86 and portable.
#pragma once

#include "../simd.h"
#include "../weights.h"
#include "weight_elements.inl"

namespace lsp {
namespace {

// x: [k][MR]. Sums start at zero and are added to acc at the end: blocks of k keep rounding errors small.
template <int MR, typename From>
void float_tile(const typename From::Element* w, int64_t k, const float* x, float* acc) {
    // A short tile has too few accumulators to hide the latency of the multiply-add: take several k at once.
    constexpr int kUnroll = MR == 1 ? 4 : MR <= 3 ? 2 : 1;
    for (int column = 0; column < kPanel; column += 2 * kWidth) {
        F32 sum[kUnroll][MR][2];
#pragma GCC unroll 4
        for (int u = 0; u < kUnroll; u++) {
#pragma GCC unroll 12
            for (int i = 0; i < MR; i++) sum[u][i][0] = sum[u][i][1] = zero();
        }
        const typename From::Element* weights = w + column;
        int64_t at = 0;
        for (; at + kUnroll <= k; at += kUnroll) {
#pragma GCC unroll 4
            for (int u = 0; u < kUnroll; u++) {
                const F32 first = From::at(weights + (at + u) * kPanel);
                const F32 second = From::at(weights + (at + u) * kPanel + kWidth);
#pragma GCC unroll 12
                for (int i = 0; i < MR; i++) {
                    const F32 a = set1(x[(at + u) * MR + i]);
                    sum[u][i][0] = fma(a, first, sum[u][i][0]);
                    sum[u][i][1] = fma(a, second, sum[u][i][1]);
                }
            }
        }
        for (; at < k; at++) {
            const F32 first = From::at(weights + at * kPanel);
            const F32 second = From::at(weights + at * kPanel + kWidth);
#pragma GCC unroll 12
            for (int i = 0; i < MR; i++) {
                const F32 a = set1(x[at * MR + i]);
                sum[0][i][0] = fma(a, first, sum[0][i][0]);
                sum[0][i][1] = fma(a, second, sum[0][i][1]);
            }
        }
#pragma GCC unroll 12
        for (int i = 0; i < MR; i++) {
#pragma GCC unroll 4
            for (int u = 1; u < kUnroll; u++) {
                sum[0][i][0] = sum[0][i][0] + sum[u][i][0];
                sum[0][i][1] = sum[0][i][1] + sum[u][i][1];
            }
            float* row = acc + i * kPanel + column;
            store(row, load(row) + sum[0][i][0]);
            store(row + kWidth, load(row + kWidth) + sum[0][i][1]);
        }
    }
}

}  // namespace
}  // namespace lsp
