// Compiled for AVX-512 VNNI and without GoogleTest, whose inline functions must not get into such a unit.
#define LSP_ISA_LEVEL 4
#include "kernels/tile_int8.inl"

namespace {

constexpr int kGroup = 64, kColumns = 3 * kGroup + 20, kGroups = 4, kMostRows = 12;

uint32_t state = 1;
uint32_t next() { return state = state * 1664525u + 1013904223u; }

// Whether the two tiles of `rows` rows differ in a bit.
template <bool kWide>
bool differ(int rows) {
    constexpr int kGroupBytes = 2 * lsp::kPanel + kGroup / 4 * (kWide ? 128 : 64);
    alignas(64) static uint8_t weights[kGroups * kGroupBytes];
    static int8_t values[kColumns * kMostRows];
    static float scales[kGroups * kMostRows];
    static int32_t start[kGroups * kMostRows];
    alignas(64) static float acc[2][kMostRows * lsp::kPanel];
    for (uint8_t& byte : weights) byte = static_cast<uint8_t>(next() >> 24);
    for (int g = 0; g < kGroups; g++) {
        for (int i = 0; i < lsp::kPanel; i++) {
            const uint16_t half = static_cast<uint16_t>(0x2000 + (next() >> 22));  // IEEE halves from 2^-7 to 2^-6
            memcpy(weights + g * kGroupBytes + 2 * i, &half, 2);
        }
    }
    for (int8_t& value : values) value = static_cast<int8_t>(static_cast<int>(next() >> 24) % 255 - 127);
    for (float& scale : scales) scale = static_cast<float>(next() >> 16) * 1e-6f;
    for (int32_t& sum : start) sum = static_cast<int32_t>(next() >> 12) - (1 << 19);
    for (int i = 0; i < kMostRows * lsp::kPanel; i++) acc[0][i] = acc[1][i] = static_cast<float>(next() >> 20);
    const lsp::QuantizedRows x = {values, scales, start};
    lsp::kInt8Tiles<kWide>[rows - 1](weights, kColumns, kGroup, x, acc[0]);
    lsp::kInt8TilesForAmd<kWide>[rows - 1](weights, kColumns, kGroup, x, acc[1]);
    return memcmp(acc[0], acc[1], static_cast<size_t>(rows * lsp::kPanel) * sizeof(float)) != 0;
}

}  // namespace

int tile_form_differences() {
    int count = 0;
    for (int rows = 1; rows <= kMostRows; rows++) count += differ<true>(rows) + differ<false>(rows);
    return count;
}
