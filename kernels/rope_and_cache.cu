// Between the q, k, v projection and attention: splits qkv [batch*m, (heads + 2*kv_heads) * head_dim], rotates queries
// and keys (half-split: elements i and i + head_dim/2 by the angle of row `position` of cos, sin [positions,
// head_dim/2]), leaves the queries in query [batch*m, heads*head_dim] and writes keys and values to their positions of
// the paged cache, as f16 or as int8 with a scale of the largest magnitude of the head / 127. Row i of a sequence
// stands at position first + i, or lengths[sequence] - m + i.
//
// Called by CudaBackend.RopeAndCache, instances for the element type of qkv and of the cache. Grid (batch*m,
// ceil(heads of all three * lanes / 256)): the lanes of a head, a power of two, lie in one warp; each takes 4 elements
// of the first half and the 4 that belong to them in the second (4- to 16-byte accesses, side by side); one and one,
// once or twice, if head_dim/2 is no multiple of 4. What does not fit an f16 becomes the largest one that does: after
// the projection nothing should be near, and an infinity would make NaN of every score.
//
// 7B, one layer, f16: 24.6 KB in and 24.6 KB out per row, 2 flops per byte. m = 640: 31.5 MB, floor 31 us on an RTX
// 4090 (1,008 GB/s); m = 1: 49 KB, a launch. int8: 16.6 KB out; a scale is 4 bytes of a sector of 32 that the next rows
// fill, in the second-level cache. Registers are few; occupancy is full.
#include "common/attention_tiles.cuh"
#include "common/rows.cuh"

namespace rope {
constexpr int kThreads = 256;

/// Count consecutive elements as float32; their address is a multiple of their size together.
template <int Count, typename T>
DEVICE void load(float (&x)[Count], const T* source) {
    if constexpr (Count == 4) {
        const f32x4 v = read_4(source);
        x[0] = v.x, x[1] = v.y, x[2] = v.z, x[3] = v.w;
    } else {
        x[0] = read_1(source);
    }
}

/// Nearest half, of what is too large the largest; NaN stays NaN.
DEVICE float in_range(float x) {
    constexpr float kLargest = 65504;
    return x > kLargest ? kLargest : x < -kLargest ? -kLargest : x;
}
template <int Count>
DEVICE void store(f16* destination, const float (&x)[Count]) {
    if constexpr (Count == 4) {
        stg(reinterpret_cast<u32x2*>(destination),
            u32x2{to_f16x2(in_range(x[0]), in_range(x[1])).bits, to_f16x2(in_range(x[2]), in_range(x[3])).bits});
    } else {
        stg(destination, to_f16(in_range(x[0])));
    }
}

/// Stores round(x * inverse) + 128 as bytes, ties to even, |x * inverse| at most 127.
template <int Count>
DEVICE void store(uint8_t* destination, const float (&x)[Count], float inverse) {
    // The sum has the nearest integer in its last bits.
    constexpr float kShift = 3 << 22;
    uint32_t bytes = 0;
#pragma unroll
    for (int i = 0; i < Count; i++) bytes |= (float_to_bits(mul(x[i], inverse) + kShift) & 0xff) << (8 * i);
    bytes ^= 0x80808080;
    if constexpr (Count == 4) {
        stg(reinterpret_cast<uint32_t*>(destination), bytes);
    } else {
        stg(destination, uint8_t(bytes));
    }
}

/// One lane's part of a head: Count elements of both halves, Steps times.
template <int Count, int Steps>
struct Part {
    float x[Steps][Count], y[Steps][Count];

    /// cos, sin: of the position, or null: a value.
    template <typename Element>
    DEVICE void load(const Element* source, const float* cos, const float* sin, int lane, int lanes, int half) {
#pragma unroll
        for (int step = 0; step < Steps; step++) {
            const int column = (lane + step * lanes) * Count;
            if (column >= half) continue;
            rope::load(x[step], source + column);
            rope::load(y[step], source + column + half);
            if (cos == nullptr) continue;
            float c[Count], s[Count];
            rope::load(c, cos + column);
            rope::load(s, sin + column);
#pragma unroll
            for (int i = 0; i < Count; i++) {
                const float first = x[step][i] * c[i] - y[step][i] * s[i];
                y[step][i] = y[step][i] * c[i] + x[step][i] * s[i];
                x[step][i] = first;
            }
        }
    }

    /// factor: nothing, or the inverse scale of bytes.
    template <typename T, typename... Factor>
    DEVICE void store(T* destination, int lane, int lanes, int half, Factor... factor) const {
#pragma unroll
        for (int step = 0; step < Steps; step++) {
            const int column = (lane + step * lanes) * Count;
            if (column >= half) continue;
            rope::store(destination + column, x[step], factor...);
            rope::store(destination + column + half, y[step], factor...);
        }
    }

    /// Bits of the largest magnitude, ordered as the magnitudes are, NaN above all. Unused elements are 0.
    DEVICE int largest() const {
        int bits = 0;
#pragma unroll
        for (int step = 0; step < Steps; step++) {
#pragma unroll
            for (int i = 0; i < Count; i++) {
                bits = maximum(bits, int(float_to_bits(x[step][i]) & 0x7fffffff));
                bits = maximum(bits, int(float_to_bits(y[step][i]) & 0x7fffffff));
            }
        }
        return bits;
    }
};

/// query: rows of query_ld; qkv: rows of ld; cos, sin: rows of cos_ld, sin_ld; keys, values: pages of the cache, as
/// Tiles has them; pages [batch, page_ld]; lengths [batch], after these rows, or null. lanes: of a head.
template <int Count, int Steps, typename Tiles, typename Element>
DEVICE void run(f16* query, f16* keys, f16* values, const Element* qkv, const float* cos, const float* sin,
                const int* pages, const int* lengths, int query_ld, int ld, int cos_ld, int sin_ld, int page_ld, int m,
                int first, int heads, int kv_heads, int head_dim, int lanes) {
    const int half = head_dim / 2, row = block_x(), sequence = row / m;
    const int thread = block_y() * kThreads + thread_x(), head = thread / lanes, lane = thread % lanes;
    if (lengths != nullptr) first = ldg(lengths + sequence) - m;
    const int position = first + row % m;
    const bool used = head < heads + 2 * kv_heads, is_value = head >= heads + kv_heads;

    Part<Count, Steps> part = {};
    if (used) {
        part.load(qkv + int64_t(row) * ld + head * head_dim, is_value ? nullptr : cos + int64_t(position) * cos_ld,
                  is_value ? nullptr : sin + int64_t(position) * sin_ld, lane, lanes, half);
    }
    int largest = 0;
    if constexpr (Tiles::kScaled) {
        largest = part.largest();
        for (int mask = lanes / 2; mask > 0; mask /= 2) largest = maximum(largest, shuffle_xor(largest, mask));
    }
    if (!used) return;
    if (head < heads) {
        part.store(query + int64_t(row) * query_ld + head * head_dim, lane, lanes, half);
        return;
    }
    const int page = ldg(pages + sequence * page_ld + position / kPage), line = Tiles::cache_line(head_dim);
    f16* const cached = (is_value ? values : keys) +
                        (int64_t(page) * kv_heads + (head - heads) % kv_heads) * head_halves<Tiles>(head_dim);
    f16* const destination = cached + position % kPage * line;
    if constexpr (Tiles::kScaled) {
        // A head that is not finite has a scale of NaN, one of zeros, or next to it, has none to divide by.
        constexpr int kInfinity = 0x7f800000, kSmallestNormal = 0x00800000;
        const float scale = bits_to_float(largest < kInfinity ? largest : 0x7fc00000) / 127;
        const bool divides = largest < kInfinity && int(float_to_bits(scale)) >= kSmallestNormal;
        part.store(reinterpret_cast<uint8_t*>(destination), lane, lanes, half, divides ? 1 / scale : 0);
        if (lane == 0) stg(reinterpret_cast<float*>(cached + kPage * line) + position % kPage, scale);
    } else {
        part.store(destination, lane, lanes, half);
    }
}

}  // namespace rope

#define ROPE_AND_CACHE(name, Element, tiles)                                                                          \
    KERNEL(name, rope::kThreads, 4)                                                                                   \
    (f16 * query, f16 * keys, f16 * values, const Element* qkv, const float* cos, const float* sin, const int* pages, \
     const int* lengths, int query_ld, int ld, int cos_ld, int sin_ld, int page_ld, int m, int first, int heads,      \
     int kv_heads, int head_dim, int lanes) {                                                                         \
        if (head_dim / 2 % 4 == 0) {                                                                                  \
            rope::run<4, 1, tiles>(query, keys, values, qkv, cos, sin, pages, lengths, query_ld, ld, cos_ld, sin_ld,  \
                                   page_ld, m, first, heads, kv_heads, head_dim, lanes);                              \
        } else {                                                                                                      \
            rope::run<1, 2, tiles>(query, keys, values, qkv, cos, sin, pages, lengths, query_ld, ld, cos_ld, sin_ld,  \
                                   page_ld, m, first, heads, kv_heads, head_dim, lanes);                              \
        }                                                                                                             \
    }                                                                                                                 \
    REGISTER_KERNEL(name)

ROPE_AND_CACHE(rope_and_cache_f16, f16, F16Tiles);
ROPE_AND_CACHE(rope_and_cache_bf16, bf16, F16Tiles);
ROPE_AND_CACHE(rope_and_cache_f32, float, F16Tiles);
ROPE_AND_CACHE(rope_and_cache_int8_f16, f16, Int8Tiles);
ROPE_AND_CACHE(rope_and_cache_int8_bf16, bf16, Int8Tiles);
ROPE_AND_CACHE(rope_and_cache_int8_f32, float, Int8Tiles);
