#pragma once

#include "parallel.inl"

namespace lsp {
namespace {

// First index of the largest value; -1 when there is a NaN.
int64_t argmax(const float* values, int64_t n) {
    constexpr int64_t kSpan = 64 * kWidth;
    float most = values[0];
    int64_t where = 0;  // start of the first span that holds it
    for (int64_t start = 0; start < n; start += kSpan) {
        const int64_t end = start + kSpan < n ? start + kSpan : n;
        F32 largest = set1(most);
        int64_t i = start;
        for (; i + kWidth <= end; i += kWidth) {
            const F32 x = load(values + i);
            if (any_nan(x)) return -1;
            largest = max(largest, x);
        }
        float here = reduce_max(largest);
        for (; i < end; i++) {
            if (values[i] != values[i]) return -1;
            if (values[i] > here) here = values[i];
        }
        if (here > most) {
            most = here;
            where = start;
        }
    }
    while (values[where] != most) where++;
    return where;
}

}  // namespace
}  // namespace lsp
