// Attention of a few query rows over the paged key-value cache, for a batch of sequences: query rows [batch*m,
// heads*head_dim], row i of a sequence stands at its position length - m + i and sees positions 0 ... length - m + i;
// output [batch*m, heads*head_dim]. The rows of one key-value head (row r: position r / group, head r % group of the
// group) are the 16 rows of an mma, so that each byte of keys and values is read once for all of them.
//
// Called by CudaBackend.CausalAttention. decode_attention: grid (splits, kv_heads * row tiles, batch). A split is a
// range of pages; each of the block's 4 warps takes 16 positions of every page with a softmax of its own, copies what
// it needs into memory of its own (no barriers in the loop), and the four are merged in order at the end. With one
// split that is the output; else every block writes its maxima, sums and outputs (float32), and whichever comes last
// merges those of all splits in their order: nobody waits, and there is no second launch. The split depends on length
// and grid alone: the same call gives the same bits.
//
// 7B, position 1024: 32 heads of 128, one layer: 16.8 MB of keys and values, 17 MFLOP. Floor on an RTX 4090: 16.6 us
// (1,008 GB/s). With 4 splits the partial results are 66 KB written and read: 0.8 % more. int8: 8.65 MB of integers and
// scales, floor 8.6 us; with 8 splits 133 KB of partial results, 3.1 % more, which stay in the second-level cache.
//
// Occupancy is one block of four warps per multiprocessor at width 128 (64 KB of shared memory), 8 %, by design: what
// matters is bytes under way. Two stages of 16 positions in each warp are 64 KB; latency times bandwidth is 5 KB per
// multiprocessor of an RTX 4090, and one warp's step takes a few hundred cycles for 8 KB where memory gives 3 bytes per
// cycle. With int8 a block has half of these under way and its steps have integers to widen: two blocks, 17 %.
#include "common/flash_attention.cuh"

namespace decode_flash {
constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarp;
constexpr int kRows = 16;
constexpr int kStages = 2;

/// Merges what the splits left of one row, by one warp: the head_dim elements of output from `first` on.
DEVICE void combine(void* output, int64_t first, int output_element, const float* partial_output,
                    const float* partial_softmax, int splits, int head_dim, float scale) {
    const int lane = lane_id();
    float top = minus_infinity(), sum = 0;
    if (lane < splits) {
        top = ldg_shared_by_blocks(partial_softmax + 2 * lane);
        sum = ldg_shared_by_blocks(partial_softmax + 2 * lane + 1);
    }
    // A split without a position for this row has a sum of 0.
    const float largest = warp_max(top);
    const float weight = sum == 0 ? 0 : exp2_fast((top - largest) * scale);
    const float inverse = 1 / warp_sum(weight * sum);
    for (int begin = 0; begin < head_dim; begin += kWarp) {
        const int column = begin + lane;
        float total = 0;
        for (int s = 0; s < splits; s++) {
            const float factor = shuffle(weight, s);
            if (factor != 0 && column < head_dim) {
                total += factor * ldg_shared_by_blocks(partial_output + s * head_dim + column);
            }
        }
        if (column < head_dim) write_element(output, output_element, first + column, total * inverse);
    }
}

/// keys, values: pages of the cache, as Tiles has them; pages [batch, page_ld]: the number of each 64 positions' page;
/// lengths [batch], or null: every sequence has `length`. Partial results of row R = (sequence * m + i) * heads + head
/// and split s: partial_output [R, splits, head_dim], not divided by the sum, and partial_softmax [R, splits, 2]:
/// largest score, sum. arrived [batch, grid y]: zeros, and zeros again afterwards. None of them is touched if there is
/// one split, of which there are at most 32. Shared memory: 2 * 4 stages of 16 positions, then [4, 16, Width + 10
/// (int8: 18)] floats in their place.
template <int Width, typename Tiles>
DEVICE void run(void* output, float* partial_output, float* partial_softmax, int* arrived, const f16* query,
                const f16* keys, const f16* values, const int* pages, const int* lengths, int output_ld,
                int output_element, int query_ld, int page_ld, int length, int m, int heads, int kv_heads, int head_dim,
                float scale) {
    const int lane = lane_id(), warp = warp_id(), sequence = block_z(), split = block_x(), splits = grid_x();
    const int kv_head = block_y() % kv_heads, first_row = block_y() / kv_heads * kRows;
    const int group = heads / kv_heads, rows = minimum(m * group - first_row, kRows);
    if (lengths != nullptr) length = ldg(lengths + sequence);
    pages += sequence * page_ld;

    const int page_count = ceil_div(length, kPage), split_pages = ceil_div(page_count, splits);
    const int first_page = split * split_pages, end_page = minimum(first_page + split_pages, page_count);
    // This warp's tiles: positions 16 * warp … + 15 of each page, but of the last page only if there are any.
    const int mine = end_page * kPage - kPage + warp * kRows < length ? end_page : end_page - 1;

    constexpr int kStage = stage_halves<Tiles, Width, kRows>();
    f16* const stages = reinterpret_cast<f16*>(shared_memory()) + warp * (kStages * kStage);
    const auto load = [&](int at) {
        const int row = warp * kRows;
        load_positions<Tiles, Width, kRows, kWarp>(stages + at % kStages * kStage, keys, values,
                                                   int64_t(ldg(pages + at)) * kv_heads + kv_head, row,
                                                   length - at * kPage - row, head_dim, lane);
    };
    for (int i = 0; i < kStages; i++) {
        if (first_page + i < mine) load(first_page + i);
        cp_async_commit();
    }
    QueryRows<Width, Tiles> state;
    state.clear();
    const auto output_row = [&](int row) { return sequence * m + (first_row + row) / group; };
    const auto head_of = [&](int row) { return kv_head * group + (first_row + row) % group; };
    state.read_queries(rows, head_dim,
                       [&](int row) { return query + int64_t(output_row(row)) * query_ld + head_of(row) * head_dim; });

    const int g = lane / 4, t = lane % 4;
    const auto seen_by = [&](int row) { return length - m + (first_row + minimum(row, rows - 1)) / group + 1; };
    const int seen0 = seen_by(g), seen1 = seen_by(g + 8), all = seen_by(0);
    for (int at = first_page; at < mine; at++) {
        cp_async_wait<kStages - 1>();
        warp_barrier();
        const int begin = at * kPage + warp * kRows;
        const int stage = at % kStages * kStage;
        if (all - begin >= kRows) {
            state.template attend<kRows, kRows, false>(stages, stage, 0, scale, 0, 0);
        } else {
            state.template attend<kRows, kRows, true>(stages, stage, 0, scale, seen0 - begin, seen1 - begin);
        }
        warp_barrier();
        if (at + kStages < mine) load(at + kStages);
        cp_async_commit();
    }
    cp_async_wait<0>();
    state.finish_sum();
    barrier();

    // [warps, 16 rows, kLine] outputs, relative to the warp's own largest score, then [warps, 16 rows] largest scores
    // and sums.
    constexpr int kLine = Width + 4 * Tiles::kRun;
    float* const outputs = reinterpret_cast<float*>(shared_memory());
    float* const statistics = outputs + kWarps * kRows * kLine;
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const int row = warp * kRows + g + 8 * r;
        if (t == 0) {
            sts(statistics + 2 * row, state.top[r]);
            sts(statistics + 2 * row + 1, state.sum[r]);
        }
#pragma unroll
        for (int j = 0; j < Width / 8; j += Tiles::kRun / 2) {
            float* const line = outputs + row * kLine + Tiles::pair_column(j, t);
            const f32x2 pair = Tiles::pair(state.output, j, r);
            if constexpr (Tiles::kRun == 4) {
                const f32x2 next = Tiles::pair(state.output, j + 1, r);
                sts(reinterpret_cast<f32x4*>(line),
                    f32x4{pair.x * state.level, pair.y * state.level, next.x * state.level, next.y * state.level});
            } else {
                sts(reinterpret_cast<f32x2*>(line), pair);
            }
        }
    }
    barrier();
    for (int row = warp; row < rows; row += kWarps) {
        float top = minus_infinity(), sum = 0, weight[kWarps];
#pragma unroll
        for (int w = 0; w < kWarps; w++) top = larger(top, lds(statistics + 2 * (w * kRows + row)));
        const float base = top == minus_infinity() ? 0 : top;
#pragma unroll
        for (int w = 0; w < kWarps; w++) {
            weight[w] = exp2_fast((lds(statistics + 2 * (w * kRows + row)) - base) * scale);
            sum += weight[w] * lds(statistics + 2 * (w * kRows + row) + 1);
        }
        const int64_t result = int64_t(output_row(row)) * heads + head_of(row);
        const float inverse = 1 / sum;
        for (int column = lane; column < head_dim; column += kWarp) {
            float total = 0;
#pragma unroll
            for (int w = 0; w < kWarps; w++) total += weight[w] * lds(outputs + (w * kRows + row) * kLine + column);
            if (splits > 1) {
                stg(partial_output + (result * splits + split) * head_dim + column, total);
            } else {
                write_element(output, output_element,
                              int64_t(output_row(row)) * output_ld + head_of(row) * head_dim + column, total * inverse);
            }
        }
        if (splits > 1 && lane == 0) {
            stg(reinterpret_cast<f32x2*>(partial_softmax) + result * splits + split, f32x2{top, sum});
        }
    }
    if (splits == 1) return;

    // The last block of these rows merges.
    barrier();
    int* const is_last = reinterpret_cast<int*>(shared_memory());
    if (thread_x() == 0) {
        int* counter = arrived + sequence * grid_y() + block_y();
        const bool last = atomic_increment(counter) == splits - 1;
        if (last) stg(counter, 0);
        sts(is_last, int(last));
    }
    barrier();
    if (lds(is_last) == 0) return;
    for (int row = warp; row < rows; row += kWarps) {
        const int64_t result = (int64_t(output_row(row)) * heads + head_of(row)) * splits;
        combine(output, int64_t(output_row(row)) * output_ld + head_of(row) * head_dim, output_element,
                partial_output + result * head_dim, partial_softmax + 2 * result, splits, head_dim, scale);
    }
}

}  // namespace decode_flash

#define DECODE_ATTENTION(name, width, tiles, blocks)                                                                  \
    KERNEL(decode_attention_##name, decode_flash::kThreads, blocks)                                                   \
    (void* output, float* partial_output, float* partial_softmax, int* arrived, const f16* query, const f16* keys,    \
     const f16* values, const int* pages, const int* lengths, int output_ld, int output_element, int query_ld,        \
     int page_ld, int length, int m, int heads, int kv_heads, int head_dim, float scale) {                            \
        decode_flash::run<width, tiles>(output, partial_output, partial_softmax, arrived, query, keys, values, pages, \
                                        lengths, output_ld, output_element, query_ld, page_ld, length, m, heads,      \
                                        kv_heads, head_dim, scale);                                                   \
    }                                                                                                                 \
    REGISTER_KERNEL(decode_attention_##name)

DECODE_ATTENTION(16, 16, F16Tiles, 4);
DECODE_ATTENTION(32, 32, F16Tiles, 4);
DECODE_ATTENTION(64, 64, F16Tiles, 3);
DECODE_ATTENTION(128, 128, F16Tiles, 2);
DECODE_ATTENTION(int8_32, 32, Int8Tiles, 4);
DECODE_ATTENTION(int8_64, 64, Int8Tiles, 3);
DECODE_ATTENTION(int8_128, 128, Int8Tiles, 2);
