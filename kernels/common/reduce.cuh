// Reductions over a block: the same bits in every run.
#pragma once

#include "warp.cuh"

/// Sum over all threads of the block; every thread receives it. scratch: 32 floats of shared memory, free again for
/// others after the call.
DEVICE float block_sum(float value, float* scratch) {
    value = warp_sum(value);
    if (lane_id() == 0) sts(scratch + warp_id(), value);
    barrier();
    float total = 0;
    for (int i = 0; i < block_threads() / kWarp; i++) total += lds(scratch + i);
    barrier();
    return total;
}
