// Between the q, k, v projection and attention: splits qkv [batch*m, (heads + 2*kv_heads) * head_dim], rotates queries
// and keys (half-split: elements i and i + head_dim/2 by the angle of row `position` of cos, sin [positions,
// head_dim/2]), leaves the queries in query [batch*m, heads*head_dim] and writes keys and values to their positions of
// the paged cache. Row i of a sequence stands at position first + i, or lengths[sequence] - m + i.
//
// Called by CudaBackend.RopeAndCache, instances for float32 and f16 qkv. Grid (batch*m, ceil(work / 256)): a thread
// takes 4 elements of the first half of a head and the 4 that belong to them in the second half (8- and 16-byte
// accesses, a warp's side by side); one and one if head_dim/2 is no multiple of 4.
//
// 7B, one layer, f16: 24.6 KB in and 24.6 KB out per row, 2 flops per byte. m = 640: 31.5 MB, floor 31 us on an RTX
// 4090 (1,008 GB/s); m = 1: 49 KB, a launch. Registers are few; occupancy is full.
#include "common/flash_attention.cuh"

namespace rope {
constexpr int kThreads = 256;

/// Count consecutive elements as float32; their address is a multiple of their size together.
template <int Count>
DEVICE void load(float (&x)[Count], const float* source) {
    if constexpr (Count == 4) {
        const f32x4 v = ldg(reinterpret_cast<const f32x4*>(source));
        x[0] = v.x, x[1] = v.y, x[2] = v.z, x[3] = v.w;
    } else {
        x[0] = ldg(source);
    }
}
template <int Count>
DEVICE void load(float (&x)[Count], const f16* source) {
    if constexpr (Count == 4) {
        const u32x2 v = ldg(reinterpret_cast<const u32x2*>(source));
        const f32x2 low = to_float(f16x2{v.x}), high = to_float(f16x2{v.y});
        x[0] = low.x, x[1] = low.y, x[2] = high.x, x[3] = high.y;
    } else {
        x[0] = to_float(ldg(source));
    }
}
template <int Count>
DEVICE void store(f16* destination, const float (&x)[Count]) {
    if constexpr (Count == 4) {
        stg(reinterpret_cast<u32x2*>(destination), u32x2{to_f16x2(x[0], x[1]).bits, to_f16x2(x[2], x[3]).bits});
    } else {
        stg(destination, to_f16(x[0]));
    }
}

/// One thread's part: elements `column` … + Count - 1 of both halves of one head. cos, sin: of them, or null: a value.
template <int Count, typename Element>
DEVICE void rotate(f16* destination, const Element* source, const float* cos, const float* sin, int column, int half) {
    float x[Count], y[Count];
    load(x, source + column);
    load(y, source + column + half);
    if (cos != nullptr) {
        float c[Count], s[Count];
        load(c, cos + column);
        load(s, sin + column);
#pragma unroll
        for (int i = 0; i < Count; i++) {
            const float first = x[i] * c[i] - y[i] * s[i];
            y[i] = y[i] * c[i] + x[i] * s[i];
            x[i] = first;
        }
    }
    store(destination + column, x);
    store(destination + column + half, y);
}

/// query: rows of query_ld; qkv: rows of ld; cos, sin: rows of cos_ld, sin_ld; keys, values: pages
/// [kv_heads][64][head_dim]; pages [batch, page_ld]; lengths [batch], after these rows, or null.
template <typename Element>
DEVICE void run(f16* query, f16* keys, f16* values, const Element* qkv, const float* cos, const float* sin,
                const int* pages, const int* lengths, int query_ld, int ld, int cos_ld, int sin_ld, int page_ld, int m,
                int first, int heads, int kv_heads, int head_dim) {
    const int half = head_dim / 2, row = block_x(), sequence = row / m;
    const bool wide = half % 4 == 0;
    const int work = wide ? half / 4 : half;  // threads of one head
    const int thread = block_y() * kThreads + thread_x(), head = thread / work;
    if (head >= heads + 2 * kv_heads) return;
    if (lengths != nullptr) first = ldg(lengths + sequence) - m;
    const int position = first + row % m, column = thread % work * (wide ? 4 : 1);

    f16* destination = query + int64_t(row) * query_ld + head * head_dim;
    if (head >= heads) {
        const int kv_head = (head - heads) % kv_heads, page = ldg(pages + sequence * page_ld + position / kPage);
        const int64_t offset = ((int64_t(page) * kv_heads + kv_head) * kPage + position % kPage) * head_dim;
        destination = (head < heads + kv_heads ? keys : values) + offset;
    }
    const bool value = head >= heads + kv_heads;
    const float* c = value ? nullptr : cos + int64_t(position) * cos_ld;
    const float* s = value ? nullptr : sin + int64_t(position) * sin_ld;
    const Element* source = qkv + int64_t(row) * ld + head * head_dim;
    if (wide) {
        rotate<4>(destination, source, c, s, column, half);
    } else {
        rotate<1>(destination, source, c, s, column, half);
    }
}

}  // namespace rope

#define ROPE_AND_CACHE(name, Element)                                                                                  \
    KERNEL(name, rope::kThreads, 4)                                                                                    \
    (f16 * query, f16 * keys, f16 * values, const Element* qkv, const float* cos, const float* sin, const int* pages,  \
     const int* lengths, int query_ld, int ld, int cos_ld, int sin_ld, int page_ld, int m, int first, int heads,       \
     int kv_heads, int head_dim) {                                                                                     \
        rope::run(query, keys, values, qkv, cos, sin, pages, lengths, query_ld, ld, cos_ld, sin_ld, page_ld, m, first, \
                  heads, kv_heads, head_dim);                                                                          \
    }                                                                                                                  \
    REGISTER_KERNEL(name)

ROPE_AND_CACHE(rope_and_cache_f16, f16);
ROPE_AND_CACHE(rope_and_cache_f32, float);
