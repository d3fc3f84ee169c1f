// Full attention of the vision tower: output [batch*n, heads*head_dim] = softmax(q k^T / sqrt(head_dim)) v, inside each
// of `batch` blocks of n rows of qkv [batch*n, 3*heads*head_dim] (query, key, value side by side).
//
// Called by CudaBackend.FullAttention. Grid (query tiles of 64 rows, heads, batch), 4 warps of 16 query rows each; keys
// and values pass through shared memory 64 rows at a time, the next tile under way while one is used. Head widths up to
// 16, 32, 64, 128 are padded with zeros to the instance's. Instances for qkv of f16 and of bf16, whose weights of the
// softmax are bf16 too.
//
// 7B: 577 rows, 16 heads of 64, one layer: 1.36 GFLOP, 4.7 MB (3.5 in, 1.2 out). Floor on an RTX 4090: 8.3 us by
// arithmetic (165 TFLOP/s), 4.7 us by memory (1,008 GB/s). The last tile holds one key and takes a step of 16 of it.
//
// Occupancy is 25 % (three blocks) by design: a warp keeps its queries, output and scores in registers, which is what
// makes the arithmetic dense, and has 16 independent products in flight; 160 blocks on 128 multiprocessors would not
// fill more. bf16 at width 128 needs a few registers more than three blocks leave: two.
#include "common/flash_attention.cuh"

namespace vision_flash {
constexpr int kQueries = 64;
constexpr int kThreads = 2 * kQueries;

/// qkv: rows of ld elements of Tiles::Element; output: rows of output_ld elements of output_element. scale: log2(e) /
/// sqrt(head_dim). Shared memory: 2 stages of Keys positions.
template <int Width, int Keys, typename Tiles>
DEVICE void run(void* output, const f16* qkv, int output_ld, int output_element, int ld, int n, int heads, int head_dim,
                float scale) {
    static_assert(2 * Keys >= kQueries, "the queries pass through the second stage");
    constexpr int kStage = stage_halves<Tiles, Width, Keys>();
    f16* const stages = reinterpret_cast<f16*>(shared_memory());
    const int thread = thread_x(), warp = warp_id();
    const int first_row = block_x() * kQueries, head = block_y(), first = block_z() * n;
    const int width = heads * head_dim;
    const f16* query = qkv + int64_t(first + first_row) * ld + head * head_dim;
    const f16* key = qkv + int64_t(first) * ld + width + head * head_dim;

    const auto load = [&](int tile) {
        const int64_t offset = int64_t(tile) * Keys * ld;
        const int rows = n - tile * Keys;
        load_tiles<Width, Keys, kThreads, 2>(stages + tile % 2 * kStage, key + offset, width, ld, rows, head_dim,
                                             thread);
    };

    const int rows = minimum(n - first_row, kQueries);
    f16* const queries = stages + kStage;
    load_tiles<Width, kQueries, kThreads, 1>(queries, query, 0, ld, rows, head_dim, thread);
    load(0);
    cp_async_commit();
    cp_async_wait<0>();
    barrier();
    QueryRows<Width, Tiles> state;
    state.clear();
    state.load_queries(queries, warp * 16);
    barrier();

    const bool used = warp * 16 < rows;
    const int count = ceil_div(n, Keys);
    for (int tile = 0; tile < count; tile++) {
        if (tile + 1 < count) load(tile + 1);
        cp_async_commit();
        const int seen = n - tile * Keys;
        if (used) attend_stage<Keys>(state, stages, tile % 2 * kStage, scale, seen, seen);
        cp_async_wait<0>();
        barrier();
    }
    if (used) {
        store_rows(state, stages + warp * 16 * Width, rows - warp * 16, head_dim, output, output_element,
                   [&](int row) { return int64_t(first + first_row + warp * 16 + row) * output_ld + head * head_dim; });
    }
}

}  // namespace vision_flash

#define VISION_ATTENTION(name, width, keys, tiles, blocks)                                                            \
    KERNEL(vision_attention_##name, vision_flash::kThreads, blocks)                                                   \
    (void* output, const f16* qkv, int output_ld, int output_element, int ld, int n, int heads, int head_dim,         \
     float scale) {                                                                                                   \
        vision_flash::run<width, keys, tiles>(output, qkv, output_ld, output_element, ld, n, heads, head_dim, scale); \
    }                                                                                                                 \
    REGISTER_KERNEL(vision_attention_##name)

VISION_ATTENTION(16, 16, 64, F16Tiles, 4);
VISION_ATTENTION(32, 32, 64, F16Tiles, 4);
VISION_ATTENTION(64, 64, 64, F16Tiles, 3);
VISION_ATTENTION(128, 128, 32, F16Tiles, kBlocks128);
VISION_ATTENTION(bf16_16, 16, 64, BF16Tiles, 4);
VISION_ATTENTION(bf16_32, 32, 64, BF16Tiles, 4);
VISION_ATTENTION(bf16_64, 64, 64, BF16Tiles, 3);
VISION_ATTENTION(bf16_128, 128, 32, BF16Tiles, 2);
