// Kernels that break the rules which tests/kernels/run checks: a check that does not find them checks nothing.
#include "../../../kernels/common/warp.cuh"

/// More live values than 1024 threads have registers for, loaded so that they cannot be loaded again later: spills.
KERNEL(planted_spill, 1024, 2)(const float* x, float* y) {
    float values[96];
#pragma unroll
    for (int i = 0; i < 96; i++) values[i] = ldg_shared_by_blocks(x + i * 1024 + thread_x());
    barrier();
#pragma unroll
    for (int i = 0; i < 96; i++) stg(y + i * 1024 + thread_x(), values[i] * values[(i * 7 + 5) % 96]);
}
REGISTER_KERNEL(planted_spill);

/// An array with an index that is known only at run time: local memory without a spill.
KERNEL(planted_local, 32, 1)(const float* x, float* y, int n) {
    float values[16];
#pragma unroll
    for (int i = 0; i < 16; i++) values[i] = ldg(x + i * 32 + thread_x());
    for (int i = 0; i < n; i++) values[i * 5 % 16] += float(i);
    stg(y + thread_x(), values[n % 16]);
}
REGISTER_KERNEL(planted_local);

/// A copy of 4 bytes at a time, and no tensor cores.
KERNEL(planted_plain, 32, 1)(const float* x, float* y) { stg(y + thread_x(), ldg(x + thread_x())); }
REGISTER_KERNEL(planted_plain);
