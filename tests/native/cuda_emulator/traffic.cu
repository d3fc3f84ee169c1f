// Kernels whose traffic is known by hand.
#include "common/atomics.cuh"
#include "common/reduce.cuh"

// y [columns, rows] = x [rows, columns]^T, both multiples of 32; blocks of 32 warps, a tile of 32 x 32.
template <int Stride>
DEVICE void transpose(float* y, const float* x, int rows, int columns) {
    float* tile = reinterpret_cast<float*>(shared_memory());
    const int row = block_y() * 32, column = block_x() * 32;
    sts(tile + warp_id() * Stride + lane_id(), ldg(x + int64_t(row + warp_id()) * columns + column + lane_id()));
    barrier();
    stg(y + int64_t(column + warp_id()) * rows + row + lane_id(), lds(tile + lane_id() * Stride + warp_id()));
}

KERNEL(traffic_transpose, 1024, 1)(float* y, const float* x, int rows, int columns) {
    transpose<32>(y, x, rows, columns);
}
REGISTER_KERNEL(traffic_transpose);

KERNEL(traffic_transpose_padded, 1024, 1)(float* y, const float* x, int rows, int columns) {
    transpose<33>(y, x, rows, columns);
}
REGISTER_KERNEL(traffic_transpose_padded);

// Without shared memory: every lane stores to a sector of its own.
KERNEL(traffic_transpose_naive, 1024, 1)(float* y, const float* x, int rows, int columns) {
    const int row = block_y() * 32 + warp_id(), column = block_x() * 32 + lane_id();
    stg(y + int64_t(column) * rows + row, ldg(x + int64_t(row) * columns + column));
}
REGISTER_KERNEL(traffic_transpose_naive);

// The other way: every lane loads from a sector of its own.
KERNEL(traffic_transpose_gather, 1024, 1)(float* y, const float* x, int rows, int columns) {
    const int row = block_y() * 32 + lane_id(), column = block_x() * 32 + warp_id();
    stg(y + int64_t(column) * rows + row, ldg(x + int64_t(row) * columns + column));
}
REGISTER_KERNEL(traffic_transpose_gather);

// y = x, 16 bytes a lane, through shared memory by cp.async; each block reads all of x [n].
KERNEL(traffic_copy, 128, 1)(float* y, const float* x, int n) {
    u32x4* mine = reinterpret_cast<u32x4*>(shared_memory()) + thread_x();
    for (int i = thread_x() * 4; i < n; i += block_threads() * 4) {
        cp_async16(mine, x + i);
        cp_async_commit();
        cp_async_wait<0>();
        stg(reinterpret_cast<u32x4*>(y + i), lds(mine));
    }
}
REGISTER_KERNEL(traffic_copy);

// The same row for all lanes' ldmatrix, or rows 128 bytes apart.
KERNEL(traffic_ldmatrix, 32, 1)(uint32_t* y, int stride) {
    uint32_t r[4];
    ldmatrix_x4(r, shared_memory() + lane_id() * stride);
    float d[4] = {};
    const uint32_t b[2] = {r[0], r[1]};
    mma_f16(d, r, b);
    stg(y + lane_id(), r[0]);
}
REGISTER_KERNEL(traffic_ldmatrix);

// y [32] = sum over all passes of x [n], by one warp.
KERNEL(traffic_passes, 32, 1)(float* y, const float* x, int n, int passes) {
    float sum = 0;
    for (int pass = 0; pass < passes; pass++) {
        for (int i = lane_id(); i < n; i += kWarp) sum += ldg(x + i);
    }
    stg(y + lane_id(), sum);
}
REGISTER_KERNEL(traffic_passes);

// Each block writes a row of partial [blocks, n]; the last one reads them all. y [32].
KERNEL(traffic_partial_sums, 32, 1)(float* y, float* partial, int n) {
    for (int i = lane_id(); i < n; i += kWarp) stg(partial + block_x() * n + i, 1.0f);
    if (block_x() != grid_x() - 1) return;
    float sum = 0;
    for (int i = lane_id(); i < grid_x() * n; i += kWarp) sum += ldg_mutable(partial + i);
    stg(y + lane_id(), sum);
}
REGISTER_KERNEL(traffic_partial_sums);

// One warp adds to one word and to 32 words of shared memory, and to sums [32].
KERNEL(traffic_atomics, 32, 1)(uint64_t* sums) {
    uint32_t* shared = reinterpret_cast<uint32_t*>(shared_memory());
    sts(shared + lane_id(), 0u);
    warp_barrier();
    atomic_add_shared(shared, 1);
    atomic_add_shared(shared + lane_id(), 1);
    atomic_add_global(sums + lane_id(), 1);
}
REGISTER_KERNEL(traffic_atomics);
