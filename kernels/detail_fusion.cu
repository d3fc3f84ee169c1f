// Detail fusion (DFI) behind conv_CM (detail_fusion_conv.cu): the sum of its splits with the LayerNorms of query, key
// and value, and the cross-attention of the spatial tokens to the positions. Called by CudaBackend.DetailFusion in this
// order: fusion_conv_*, fusion_normalise, the three projections (products of the backend), fusion_attention.
//
//   partial   [splits][tiles * positions][width] float32
//   tokens    [tiles * t, width]; normed query rows like it; key and value rows [tiles * positions, width]
//   y         [tiles * t, 2 * width] = concat(tokens, softmax(q k^T / sqrt(width)) v)
//
// 7B case: 25 positions, 6 tokens, width 512, 32 splits: 1.6 MB of partial sums and less than 0.1 MB of rows in and
// out, 2 us at 1,008 GB/s: both kernels are as long as a launch. Operations: 0.4 M and 0.3 M multiplications.
// Occupancy: a block for each row, of as many warps as a row feeds; 31 blocks leave most of an RTX 4090 idle, for too
// short a time to matter.
#include "common/elements.cuh"
#include "common/reduce.cuh"

namespace {

constexpr int kNormThreads = 512;

/// y = (row - mean) * inverse * weight + bias, for a row in shared memory.
DEVICE void normalise(void* y, int element, int64_t begin, const float* row, int width, float mean, float inverse,
                      const float* weight, const float* bias) {
    for (int c = thread_x(); c < width; c += kNormThreads) {
        const float value = (lds(row + c) - mean) * inverse;
        write_element(y, element, begin + c, value * ldg(weight + c) + ldg(bias + c));
    }
}

}  // namespace

// Block b < rows = tiles * positions: conv [rows, width] (may be null) = nan_to_num(the splits' sum), and its two
// LayerNorms to key and value. Block rows + i: row i of tokens, nan_to_num, to the left half of y, and its LayerNorm to
// query. Shared memory: width floats, and 32 more.
KERNEL(fusion_normalise, kNormThreads, 1)
(float* conv, void* query, void* key, void* value, void* y, const float* partial, const void* tokens,
 const float* query_weight, const float* query_bias, const float* key_weight, const float* key_bias,
 const float* value_weight, const float* value_bias, int splits, int rows, int width, int normed_element, int normed_ld,
 int token_element, int token_ld, int y_element, int y_ld, float epsilon) {
    float* row = reinterpret_cast<float*>(shared_memory());
    float* scratch = row + width;
    const bool token = block_x() >= rows;
    const int index = token ? block_x() - rows : block_x();
    float largest = 0;
    for (int c = thread_x(); c < width; c += kNormThreads) {
        float x = 0;
        if (token) {
            x = nan_to_num(read_element(tokens, token_element, int64_t(index) * token_ld + c));
            write_element(y, y_element, int64_t(index) * y_ld + c, x);
        } else {
#pragma unroll 8
            for (int s = 0; s < splits; s++) x += ldg(partial + (int64_t(s) * rows + index) * width + c);
            x = nan_to_num(x);
            if (conv) stg(conv + int64_t(index) * width + c, x);
        }
        sts(row + c, x);
        largest = maximum(largest, x < 0 ? -x : x);
    }
    largest = warp_max(largest);
    if (lane_id() == 0) sts(scratch + warp_id(), largest);
    barrier();
    for (int w = 0; w < kNormThreads / kWarp; w++) largest = maximum(largest, lds(scratch + w));
    barrier();

    // A row that cannot be squared is scaled by 2^-96 and moved to its first number, so that equal numbers give zeros.
    const float scale = largest > 1.0e15f ? 1.262177448e-29f : 1.0f;
    const float origin = largest > 1.0e15f ? lds(row) * scale : 0.0f;
    barrier();
    float sum = 0;
    for (int c = thread_x(); c < width; c += kNormThreads) {
        const float x = lds(row + c) * scale - origin;
        sts(row + c, x);
        sum += x;
    }
    const float mean = block_sum(sum, scratch) / float(width);
    float squares = 0;
    for (int c = thread_x(); c < width; c += kNormThreads) {
        const float difference = lds(row + c) - mean;
        squares += difference * difference;
    }
    const float variance = block_sum(squares, scratch) / float(width);
    const float inverse = 1.0f / sqrtf(variance + maximum(epsilon * scale * scale, 1.0e-37f));

    const int64_t begin = int64_t(index) * normed_ld;
    if (token) {
        normalise(query, normed_element, begin, row, width, mean, inverse, query_weight, query_bias);
    } else {
        normalise(key, normed_element, begin, row, width, mean, inverse, key_weight, key_bias);
        normalise(value, normed_element, begin, row, width, mean, inverse, value_weight, value_bias);
    }
}
REGISTER_KERNEL(fusion_normalise);

namespace {

constexpr int kAttentionThreads = 256;
constexpr int kAttentionWarps = kAttentionThreads / kWarp;

}  // namespace

// Block i: token i of tiles * count attends to the positions of its tile; the right half of row i of y. logits, probs:
// [tiles * count, positions], may be null. Shared memory: width + positions floats.
KERNEL(fusion_attention, kAttentionThreads, 1)
(void* y, const void* query, const void* key, const void* value, float* logits, float* probs, int element, int ld,
 int y_element, int y_ld, int count, int positions, int width) {
    float* row = reinterpret_cast<float*>(shared_memory());
    float* weights = row + width;
    const int64_t first = int64_t(block_x() / count) * positions;
    for (int c = thread_x(); c < width; c += kAttentionThreads) {
        sts(row + c, read_element(query, element, int64_t(block_x()) * ld + c));
    }
    barrier();
    const float scale = 1.0f / sqrtf(float(width));
    for (int j = warp_id(); j < positions; j += kAttentionWarps) {
        float sum = 0;
        for (int c = lane_id(); c < width; c += kWarp)
            sum += lds(row + c) * read_element(key, element, (first + j) * ld + c);
        sum = nan_to_num(warp_sum(sum) * scale);
        if (lane_id() == 0) {
            sts(weights + j, sum);
            if (logits) stg(logits + int64_t(block_x()) * positions + j, sum);
        }
    }
    barrier();

    // Every warp for itself, in one order: the same bits in all.
    float largest = -3.402823466e38f;
    for (int j = 0; j < positions; j++) largest = maximum(largest, lds(weights + j));
    float total = 0;
    for (int j = 0; j < positions; j++) total += exp_fast(lds(weights + j) - largest);
    barrier();
    for (int j = thread_x(); j < positions; j += kAttentionThreads) {
        const float probability = exp_fast(lds(weights + j) - largest) / total;
        sts(weights + j, probability);
        if (probs) stg(probs + int64_t(block_x()) * positions + j, probability);
    }
    barrier();
    for (int c = thread_x(); c < width; c += kAttentionThreads) {
        float sum = 0;
        for (int j = 0; j < positions; j++)
            sum += lds(weights + j) * read_element(value, element, (first + j) * ld + c);
        write_element(y, y_element, int64_t(block_x()) * y_ld + width + c, sum);
    }
}
REGISTER_KERNEL(fusion_attention);
