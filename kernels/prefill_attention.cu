// Causal attention over the paged key-value cache, many rows at once: query row i [m, heads*head_dim] stands at
// position first + i and sees positions 0 ... first + i; output [m, heads*head_dim]. Query heads h of one key-value
// head (heads / kv_heads of them, the group) are rows of one problem: row r is position r / group, head r % group of
// the group, so that a tile of keys serves the whole group.
//
// Called by CudaBackend.CausalAttention. Grid (tiles of 64 rows of m * group, kv_heads), 4 warps of 16 rows; the last
// tiles, which see most, begin first. Keys and values pass through shared memory 64 (head width 128: 32) positions at a
// time, the next tile under way while one is used. Head widths are padded with zeros to 16, 32, 64, 128.
//
// 7B: m = 640, 32 heads of 128, one layer: 640 * 641 / 2 pairs * 4 * 128 * 32 = 3.4 GFLOP, 21 MB (q, k, v, output).
// Floor on an RTX 4090: 20 us by arithmetic (165 TFLOP/s), 21 us by memory (1,008 GB/s; less where the second-level
// cache still holds what the kernel before wrote). int8: 16 MB; every warp widens the integers for itself, some 160
// instructions beside 32 products of 16 positions, which hides behind them.
//
// Occupancy is 25 % (three blocks of four warps) by design: a warp keeps queries (32 registers at width 128), output
// (64) and scores (16) in registers and has 8 or more independent products in flight. int8 has its integers and scales
// in registers as well: at widths 64 and 128 two blocks, since three would spill.
#include "common/flash_attention.cuh"

namespace prefill_flash {
constexpr int kQueries = 64;
constexpr int kThreads = 2 * kQueries;

/// keys, values: pages of the cache, as Tiles has them; pages: the number of each 64 positions' page. scale: log2(e) /
/// sqrt(head_dim). Shared memory: 2 stages of Keys positions.
template <int Width, int Keys, typename Tiles>
DEVICE void run(void* output, const f16* query, const f16* keys, const f16* values, const int* pages, int output_ld,
                int output_element, int query_ld, int m, int first, int heads, int kv_heads, int head_dim,
                float scale) {
    static_assert(kPage % Keys == 0, "a tile lies in one page");
    constexpr int kStage = stage_halves<Tiles, Width, Keys>();
    static_assert(2 * kStage >= kQueries * Width, "the output passes through the stages");
    f16* const stages = reinterpret_cast<f16*>(shared_memory());
    const int thread = thread_x(), warp = warp_id(), kv_head = block_y();
    const int group = heads / kv_heads, all_rows = m * group;
    const int first_row = (grid_x() - 1 - block_x()) * kQueries;
    const int rows = minimum(all_rows - first_row, kQueries);
    const int length = first + (first_row + rows - 1) / group + 1;
    const int count = ceil_div(length, Keys);

    // The page of the tile that is loaded next, known before it is needed.
    int page = ldg(pages);
    const auto load = [&](int tile) {
        const int begin = tile * Keys;
        load_positions<Tiles, Width, Keys, kThreads>(stages + tile % 2 * kStage, keys, values,
                                                     int64_t(page) * kv_heads + kv_head, begin % kPage, length - begin,
                                                     head_dim, thread);
        if (tile + 1 < count) page = ldg(pages + (tile + 1) * Keys / kPage);
    };
    // Element of a row of heads * head_dim where row `row` of this block begins, for rows ld apart.
    const auto row_at = [&](int row, int ld) {
        const int all = first_row + row;
        return int64_t(all / group) * ld + (kv_head * group + all % group) * head_dim;
    };

    QueryRows<Width, Tiles> state;
    state.clear();
    if constexpr (Tiles::kScaled) {
        load(0);
        cp_async_commit();
        state.read_queries(rows - warp * 16, head_dim,
                           [&](int row) { return query + row_at(warp * 16 + row, query_ld); });
        cp_async_wait<0>();
        barrier();
    } else {
        static_assert(Tiles::kScaled || kStage >= kQueries * Width, "the queries pass through the second stage");
        f16* const queries = stages + kStage;
        constexpr int kChunks = Width / 8;
#pragma unroll 1
        for (int row = thread / kChunks; row < kQueries; row += kThreads / kChunks) {
            const int chunk = thread % kChunks;
            load_chunk(queries + tile_index<Width>(row, chunk),
                       query + row_at(minimum(row, rows - 1), query_ld) + chunk * 8,
                       row < rows ? head_dim - chunk * 8 : 0, head_dim % 8 == 0);
        }
        load(0);
        cp_async_commit();
        cp_async_wait<0>();
        barrier();
        state.load_queries(queries, warp * 16);
        barrier();
    }

    // How many positions are seen by rows g and g + 8 of this warp.
    const auto seen_by = [&](int row) { return first + (first_row + minimum(row, rows - 1)) / group + 1; };
    const int g = lane_id() / 4;
    const int seen0 = seen_by(warp * 16 + g), seen1 = seen_by(warp * 16 + g + 8);
    const bool used = warp * 16 < rows;
    for (int tile = 0; tile < count; tile++) {
        if (tile + 1 < count) load(tile + 1);
        cp_async_commit();
        const int begin = tile * Keys;
        if (used) attend_stage<Keys>(state, stages, tile % 2 * kStage, scale, seen0 - begin, seen1 - begin);
        cp_async_wait<0>();
        barrier();
    }
    if (used) {
        store_rows(state, stages + warp * 16 * Width, rows - warp * 16, head_dim, output, output_element,
                   [&](int row) { return row_at(warp * 16 + row, output_ld); });
    }
}

}  // namespace prefill_flash

#define PREFILL_ATTENTION(name, width, keys_at_once, tiles, blocks)                                                   \
    KERNEL(prefill_attention_##name, prefill_flash::kThreads, blocks)                                                 \
    (void* output, const f16* query, const f16* keys, const f16* values, const int* pages, int output_ld,             \
     int output_element, int query_ld, int m, int first, int heads, int kv_heads, int head_dim, float scale) {        \
        prefill_flash::run<width, keys_at_once, tiles>(output, query, keys, values, pages, output_ld, output_element, \
                                                       query_ld, m, first, heads, kv_heads, head_dim, scale);         \
    }                                                                                                                 \
    REGISTER_KERNEL(prefill_attention_##name)

PREFILL_ATTENTION(16, 16, 64, F16Tiles, 4);
PREFILL_ATTENTION(32, 32, 64, F16Tiles, 4);
PREFILL_ATTENTION(64, 64, 64, F16Tiles, 3);
PREFILL_ATTENTION(128, 128, 32, F16Tiles, kBlocks128);
PREFILL_ATTENTION(int8_32, 32, 64, Int8Tiles, 3);
PREFILL_ATTENTION(int8_64, 64, 64, Int8Tiles, 2);
PREFILL_ATTENTION(int8_128, 128, 32, Int8Tiles, 2);
