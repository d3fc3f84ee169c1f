// Kernels of the emulator's own tests, written as those of kernels/ are.
#include "common/reduce.cuh"

// y[block] = sum of row `block` of x [blocks, n].
KERNEL(test_row_sum, 1024, 1)(float* y, const float* x, int n) {
    float* scratch = reinterpret_cast<float*>(shared_memory());
    float sum = 0;
    for (int i = thread_x(); i < n; i += block_threads()) sum += ldg(x + int64_t(block_x()) * n + i);
    sum = block_sum(sum, scratch);
    if (thread_x() == 0) stg(y + block_x(), sum);
}
REGISTER_KERNEL(test_row_sum);

// y = softmax(x) by rows of 32 k numbers, one warp a row.
KERNEL(test_softmax, 1024, 1)(float* y, const float* x, int n) {
    const int64_t row = int64_t(block_x()) * (block_threads() / kWarp) + warp_id();
    float most = -INFINITY;
    for (int i = lane_id(); i < n; i += kWarp) most = maximum(most, ldg(x + row * n + i));
    most = warp_max(most);
    float sum = 0;
    for (int i = lane_id(); i < n; i += kWarp) sum += exp_fast(ldg(x + row * n + i) - most);
    sum = warp_sum(sum);
    for (int i = lane_id(); i < n; i += kWarp) stg(y + row * n + i, exp_fast(ldg(x + row * n + i) - most) / sum);
}
REGISTER_KERNEL(test_softmax);

// c [m, n] = a [m, k] b [n, k]^T; a tile of 64 x 64 by 4 warps, two stages of 32 columns. m, n multiples of 64, k of
// 32.
KERNEL(test_gemm_f16, 128, 1)(float* c, const f16* a, const f16* b, int n, int k) {
    constexpr int kColumns = 32, kStride = 40;
    f16* shared = reinterpret_cast<f16*>(shared_memory());
    const int first_row = block_y() * 64, first_column = block_x() * 64;
    const int warp_row = warp_id() / 2 * 32, warp_column = warp_id() % 2 * 32;
    const auto stage_a = [&](int stage) { return shared + stage * 128 * kStride; };
    const auto stage_b = [&](int stage) { return shared + stage * 128 * kStride + 64 * kStride; };
    const auto fetch = [&](int tile) {
        for (int i = thread_x(); i < 256; i += block_threads()) {
            const int row = i / 4, column = i % 4 * 8;
            cp_async16(stage_a(tile % 2) + row * kStride + column,
                       a + int64_t(first_row + row) * k + tile * kColumns + column);
            cp_async16(stage_b(tile % 2) + row * kStride + column,
                       b + int64_t(first_column + row) * k + tile * kColumns + column);
        }
        cp_async_commit();
    };
    float sums[2][4][4] = {};
    const int tiles = k / kColumns;
    fetch(0);
    for (int tile = 0; tile < tiles; tile++) {
        if (tile + 1 < tiles) {
            fetch(tile + 1);
            cp_async_wait<1>();
        } else {
            cp_async_wait<0>();
        }
        barrier();
        for (int step = 0; step < kColumns; step += 16) {
            uint32_t left[2][4], right[2][4];
            for (int i = 0; i < 2; i++) {
                ldmatrix_x4(left[i], stage_a(tile % 2) + (warp_row + i * 16 + lane_id() % 16) * kStride + step +
                                         lane_id() / 16 * 8);
                ldmatrix_x4(right[i], stage_b(tile % 2) +
                                          (warp_column + i * 16 + lane_id() % 8 + lane_id() / 16 * 8) * kStride + step +
                                          lane_id() / 8 % 2 * 8);
            }
            for (int i = 0; i < 2; i++) {
                for (int j = 0; j < 4; j++) {
                    const uint32_t operand[2] = {right[j / 2][j % 2 * 2], right[j / 2][j % 2 * 2 + 1]};
                    mma_f16(sums[i][j], left[i], operand);
                }
            }
        }
        barrier();
    }
    for (int i = 0; i < 2; i++) {
        for (int j = 0; j < 4; j++) {
            const int row = first_row + warp_row + i * 16 + lane_id() / 4;
            const int column = first_column + warp_column + j * 8 + lane_id() % 4 * 2;
            stg(reinterpret_cast<f32x2*>(c + int64_t(row) * n + column), f32x2{sums[i][j][0], sums[i][j][1]});
            stg(reinterpret_cast<f32x2*>(c + int64_t(row + 8) * n + column), f32x2{sums[i][j][2], sums[i][j][3]});
        }
    }
}
REGISTER_KERNEL(test_gemm_f16);

// c [16, 8] = a [16, 32] b [8, 32]^T of bytes, one warp.
KERNEL(test_mma_s8, 32, 1)(int* c, const uint32_t* a, const uint32_t* b) {
    const int g = lane_id() / 4, t = lane_id() % 4;
    const uint32_t left[4] = {ldg(a + g * 8 + t), ldg(a + (g + 8) * 8 + t), ldg(a + g * 8 + t + 4),
                              ldg(a + (g + 8) * 8 + t + 4)};
    const uint32_t right[2] = {ldg(b + g * 8 + t), ldg(b + g * 8 + t + 4)};
    int32_t sums[4] = {};
    mma_s8(sums, left, right);
    stg(c + g * 8 + t * 2, sums[0]);
    stg(c + g * 8 + t * 2 + 1, sums[1]);
    stg(c + (g + 8) * 8 + t * 2, sums[2]);
    stg(c + (g + 8) * 8 + t * 2 + 1, sums[3]);
}
REGISTER_KERNEL(test_mma_s8);

// c [16, 8] = a [16, 16] b [8, 16]^T, rounded to bf16 on the way; one warp.
KERNEL(test_mma_bf16, 32, 1)(float* c, const f32x2* a, const f32x2* b) {
    const int g = lane_id() / 4, t = lane_id() % 4;
    const auto pair = [](const f32x2* from) {
        const f32x2 v = ldg(from);
        return to_bf16x2(v.x, v.y).bits;
    };
    const uint32_t left[4] = {pair(a + g * 8 + t), pair(a + (g + 8) * 8 + t), pair(a + g * 8 + t + 4),
                              pair(a + (g + 8) * 8 + t + 4)};
    const uint32_t right[2] = {pair(b + g * 8 + t), pair(b + g * 8 + t + 4)};
    float sums[4] = {};
    mma<bf16>(sums, left, right);
    for (int i = 0; i < 4; i++) stg(c + (g + i / 2 * 8) * 8 + t * 2 + i % 2, sums[i]);
}
REGISTER_KERNEL(test_mma_bf16);

// bits [n] = x [n] as bf16, back [n] = what they stand for.
KERNEL(test_bf16, 256, 1)(bf16* bits, float* back, const float* x, int n) {
    for (int i = block_x() * block_threads() + thread_x(); i < n; i += grid_x() * block_threads()) {
        const bf16 value = to_bf16(ldg(x + i));
        stg(bits + i, value);
        stg(back + i, to_float(bf16x2{uint32_t(value.bits) << 16}).y);
    }
}
REGISTER_KERNEL(test_bf16);

// y [16 x 8 halves] = x [8 x 16 halves]^T through ldmatrix; one warp.
KERNEL(test_transpose, 32, 1)(uint32_t* y, const u32x4* x) {
    u32x4* rows = reinterpret_cast<u32x4*>(shared_memory());
    if (lane_id() < 16) sts(rows + lane_id(), ldg(x + lane_id()));
    warp_barrier();
    uint32_t r[2];
    // Matrix 0: columns 0 to 7 of the rows; matrix 1: columns 8 to 15.
    ldmatrix_x2_trans(r, rows + lane_id() % 8 * 2 + lane_id() / 8 % 2);
    stg(y + lane_id() / 4 * 4 + lane_id() % 4, r[0]);
    stg(y + (8 + lane_id() / 4) * 4 + lane_id() % 4, r[1]);
}
REGISTER_KERNEL(test_transpose);

// What each thread sees of itself and of its warp; parameters of mixed sizes.
KERNEL(test_identity, 1024, 1)(int* out, float scale, const float* in, int a, int64_t unused, float b) {
    const int thread = (block_z() * grid_y() + block_y()) * grid_x() + block_x();
    const uint32_t odd = warp_ballot(lane_id() % 2 == 1);
    const int next = shuffle(lane_id() * 10, (lane_id() + 1) % kWarp);
    int* mine = out + (int64_t(thread) * block_threads() + thread_x()) * 4;
    stg(mine, thread);
    stg(mine + 1, int(odd));
    stg(mine + 2, next);
    stg(mine + 3, int(scale * ldg(in) + float(a) + b) + int(unused));
}
REGISTER_KERNEL(test_identity);
