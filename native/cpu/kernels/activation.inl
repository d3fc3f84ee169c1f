#pragma once

#include "parallel.inl"

namespace lsp {
namespace {

// x * sigmoid(1.702 x)
inline F32 quick_gelu(F32 x) { return x / (set1(1.0f) + exp(x * set1(-1.702f))); }

// x * sigmoid(x)
inline F32 silu(F32 x) { return x / (set1(1.0f) + exp(zero() - x)); }

// x * Phi(x), Phi(x) = erfc(-x / sqrt 2) / 2. With t = 1 / (1 + z / 2), erfc(z) / 2 = t * polynomial(t) * e^-z^2:
// minimax on [0, 10.3], 4.3e-8 relative. e^(-x^2 / 2) is taken of the rounded square and corrected for what the
// rounding took away, so that the left tail is right too.
inline F32 gelu(F32 x) {
    const F32 a = min(set1(14.6f), abs(x));
    const F32 half = a * set1(0.5f);
    const F32 square = half * a;
    const F32 lost = fma(half, a, zero() - square);
    const F32 t = set1(1.0f) / fma(a, set1(0.353553390593273762f), set1(1.0f));
    F32 p = set1(-0.5f * 5.914908383e-2f);
    p = fma(p, t, set1(0.5f * 2.849667293e-1f));
    p = fma(p, t, set1(-0.5f * 4.880129866e-1f));
    p = fma(p, t, set1(0.5f * 2.789997149e-1f));
    p = fma(p, t, set1(-0.5f * 2.726983613e-2f));
    p = fma(p, t, set1(0.5f * 2.029602219e-1f));
    p = fma(p, t, set1(0.5f * 2.430344601e-1f));
    p = fma(p, t, set1(0.5f * 2.823848661e-1f));
    p = fma(p, t, set1(0.5f * 2.820858711e-1f));
    const F32 power = exp(zero() - square);
    const F32 tail = p * t * fma(zero() - power, lost, power);
    return x * select_negative(x, tail, set1(1.0f) - tail);
}

inline F32 apply_activation(F32 x, int activation) {
    switch (activation) {
        case LSP_GELU:
            return gelu(x);
        case LSP_QUICK_GELU:
            return quick_gelu(x);
        default:
            return x;
    }
}

void activate(lsp_engine& engine, float* destination, const float* source, int64_t count, int activation) {
    parallel_for(engine, count, 4096, [=](int64_t begin, int64_t end, int) {
        int64_t i = begin;
        for (; i + kWidth <= end; i += kWidth) store(destination + i, apply_activation(load(source + i), activation));
        if (i < end)
            store_partial(destination + i, apply_activation(load_partial(source + i, end - i), activation), end - i);
    });
}

// destination [m, n] = silu(gate) * up from rows [gate | up].
void gated_activation(lsp_engine& engine, float* destination, const float* gate_up, int64_t m, int64_t n) {
    parallel_for(engine, m * n, 4096, [=](int64_t begin, int64_t end, int) {
        for (int64_t at = begin; at < end;) {
            const int64_t row = at / n, column = at % n;
            const int64_t count = end - at < n - column ? end - at : n - column;
            const float* gate = gate_up + row * 2 * n + column;
            const float* up = gate + n;
            float* out = destination + at;
            int64_t i = 0;
            for (; i + kWidth <= count; i += kWidth) store(out + i, silu(load(gate + i)) * load(up + i));
            if (i < count)
                store_partial(out + i, silu(load_partial(gate + i, count - i)) * load_partial(up + i, count - i),
                              count - i);
            at += count;
        }
    });
}

}  // namespace
}  // namespace lsp
