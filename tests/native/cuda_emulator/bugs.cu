// Kernels with one bug each, which the emulator must find.
#include "common/atomics.cuh"
#include "common/reduce.cuh"

// Parameter `bad` says which thread goes wrong.
KERNEL(bug_store_behind, 256, 1)(float* y, int n, int bad) { stg(y + (thread_x() == bad ? n : thread_x()), 1.0f); }
REGISTER_KERNEL(bug_store_behind);

KERNEL(bug_load_before, 256, 1)(float* y, int bad) {
    stg(y + thread_x(), ldg(thread_x() == bad ? y - 1 : y + thread_x()));
}
REGISTER_KERNEL(bug_load_before);

// Through the pointer, without the helpers.
KERNEL(bug_plain_store, 256, 1)(float* y, int distance, int bad) {
    if (thread_x() == bad) y[distance] = 1;
}
REGISTER_KERNEL(bug_plain_store);

KERNEL(bug_misaligned_load, 256, 1)(float* y, int bad) {
    const u32x4 value = ldg(reinterpret_cast<const u32x4*>(y + thread_x() * 4 + (thread_x() == bad ? 1 : 0)));
    stg(y + thread_x() * 4, float(value.x));
}
REGISTER_KERNEL(bug_misaligned_load);

KERNEL(bug_misaligned_ldmatrix, 256, 1)(uint32_t* y, int bad) {
    uint32_t r[4];
    ldmatrix_x4(r, shared_memory() + lane_id() * 16 + (thread_x() == bad ? 8 : 0));
    stg(y + thread_x(), r[0]);
}
REGISTER_KERNEL(bug_misaligned_ldmatrix);

KERNEL(bug_shared_behind, 256, 1)(int bad) {
    float* shared = reinterpret_cast<float*>(shared_memory());
    sts(shared + (thread_x() == bad ? block_threads() : thread_x()), 1.0f);
}
REGISTER_KERNEL(bug_shared_behind);

KERNEL(bug_cp_async_behind, 256, 1)(const float* x, int n, int bad) {
    cp_async16(shared_memory() + thread_x() * 16, x + (thread_x() == bad ? n : thread_x() * 4));
    cp_async_commit();
    cp_async_wait<0>();
}
REGISTER_KERNEL(bug_cp_async_behind);

// Waits for all groups but the last, and then reads the last.
KERNEL(bug_wait_count, 256, 1)(float* y, const float* x, int pending) {
    float* shared = reinterpret_cast<float*>(shared_memory());
    for (int stage = 0; stage < 2; stage++) {
        cp_async16(shared + (stage * block_threads() + thread_x()) * 4, x + thread_x() * 4);
        cp_async_commit();
    }
    if (pending == 0) {
        cp_async_wait<0>();
    } else {
        cp_async_wait<1>();
    }
    for (int i = 0; i < 4; i++) stg(y + thread_x() * 4 + i, lds(shared + (block_threads() + thread_x()) * 4 + i));
}
REGISTER_KERNEL(bug_wait_count);

KERNEL(bug_divergent_barrier, 256, 1)(int bad) {
    if (thread_x() != bad) barrier();
}
REGISTER_KERNEL(bug_divergent_barrier);

KERNEL(bug_missing_lane, 256, 1)(float* y, int bad) {
    if (thread_x() == bad) return;
    stg(y + thread_x(), warp_sum(1.0f));
}
REGISTER_KERNEL(bug_missing_lane);

KERNEL(bug_mixed_collectives, 256, 1)(float* y, int bad) {
    float value = 1;
    if (thread_x() == bad) {
        value = float(warp_ballot(true));
    } else {
        value = shuffle(value, 0);
    }
    stg(y + thread_x(), value);
}
REGISTER_KERNEL(bug_mixed_collectives);

// A barrier is missing between the store and the load of another warp's value.
KERNEL(bug_missing_barrier, 256, 1)(float* y, int barriers) {
    float* shared = reinterpret_cast<float*>(shared_memory());
    sts(shared + thread_x(), float(thread_x()));
    if (barriers > 0) barrier();
    stg(y + thread_x(), lds(shared + (thread_x() + kWarp) % block_threads()));
}
REGISTER_KERNEL(bug_missing_barrier);

// The warp's own exchange without warp_barrier.
KERNEL(bug_missing_warp_barrier, 256, 1)(float* y, int barriers) {
    float* shared = reinterpret_cast<float*>(shared_memory()) + warp_id() * kWarp;
    sts(shared + lane_id(), float(thread_x()));
    if (barriers > 0) warp_barrier();
    stg(y + thread_x(), lds(shared + (lane_id() + 1) % kWarp));
}
REGISTER_KERNEL(bug_missing_warp_barrier);

// The second copy overwrites what other warps still read: a barrier is missing at the loop's end.
KERNEL(bug_overwritten_stage, 256, 1)(float* y, const float* x, int barriers) {
    float* shared = reinterpret_cast<float*>(shared_memory());
    float sum = 0;
    for (int i = 0; i < 2; i++) {
        cp_async16(shared + thread_x() * 4, x + thread_x() * 4);
        cp_async_commit();
        cp_async_wait<0>();
        barrier();
        sum += lds(shared + (thread_x() * 4 + kWarp * 4) % (block_threads() * 4));
        if (barriers > 0) barrier();
    }
    stg(y + thread_x(), sum);
}
REGISTER_KERNEL(bug_overwritten_stage);

KERNEL(bug_deep_stack, 32, 1)(float* y, int depth) {
    struct Deep {
        static float go(float* out, int left) {
            volatile float frame[256];
            frame[left % 256] = float(left);
            return left == 0 ? 0 : go(out, left - 1) + frame[left % 256];
        }
    };
    if (thread_x() == 7) stg(y, Deep::go(y, depth));
}
REGISTER_KERNEL(bug_deep_stack);

// y[i] = x[i] + 1, and y[i] = 2 x[i].
KERNEL(test_increment, 256, 1)(float* y, const float* x, int n) {
    const int i = block_x() * block_threads() + thread_x();
    if (i < n) stg(y + i, ldg(x + i) + 1);
}
REGISTER_KERNEL(test_increment);

KERNEL(test_double, 256, 1)(float* y, const float* x, int n) {
    const int i = block_x() * block_threads() + thread_x();
    if (i < n) stg(y + i, ldg(x + i) * 2);
}
REGISTER_KERNEL(test_double);

KERNEL(test_no_parameters, 1024, 1)() { barrier(); }
REGISTER_KERNEL(test_no_parameters);

// Counts in shared memory and, by thread 0, in global memory. A barrier is missing in front of the load.
KERNEL(bug_atomic, 256, 1)(int* y, int* total, int barriers) {
    uint32_t* shared = reinterpret_cast<uint32_t*>(shared_memory());
    if (thread_x() == 0) sts(shared, 0u);
    barrier();
    atomic_add_shared(shared, 1);
    if (barriers > 0) barrier();
    stg(y + thread_x(), int(lds(shared)));
    if (thread_x() == 0) atomic_increment(total);
}
REGISTER_KERNEL(bug_atomic);

// The counter of another block, or half of two.
KERNEL(bug_atomic_place, 32, 1)(int* total, int bytes) {
    if (thread_x() == 5) atomic_increment(reinterpret_cast<int*>(reinterpret_cast<unsigned char*>(total) + bytes));
}
REGISTER_KERNEL(bug_atomic_place);

// What follows touches memory without the helpers, which only sanitizers see.

// A barrier (0: none, 1: of the warp, 2: of the block) between a store and a load of a number `distance` threads on.
KERNEL(bug_plain_missing_barrier, 256, 1)(float* y, int distance, int barriers) {
    float* shared = reinterpret_cast<float*>(shared_memory());
    shared[thread_x()] = float(thread_x());
    if (barriers == 1) warp_barrier();
    if (barriers == 2) barrier();
    y[block_x() * block_threads() + thread_x()] = shared[(thread_x() + distance) % block_threads()];
}
REGISTER_KERNEL(bug_plain_missing_barrier);

// Each thread waits for its own copy and reads another's.
KERNEL(bug_plain_copy_without_barrier, 256, 1)(float* y, const float* x, int barriers) {
    float* shared = reinterpret_cast<float*>(shared_memory());
    cp_async16(shared + thread_x() * 4, x + thread_x() * 4);
    cp_async_commit();
    cp_async_wait<0>();
    if (barriers > 0) barrier();
    y[thread_x()] = shared[(thread_x() + 1) % block_threads() * 4];
}
REGISTER_KERNEL(bug_plain_copy_without_barrier);

// The rows that ldmatrix reads were stored by other lanes.
KERNEL(bug_plain_ldmatrix, 32, 1)(uint32_t* y, int barriers) {
    u32x4* rows = reinterpret_cast<u32x4*>(shared_memory());
    rows[(lane_id() + 1) % kWarp] = u32x4{1, 2, 3, 4};
    if (barriers > 0) warp_barrier();
    uint32_t r[4];
    ldmatrix_x4(r, rows + lane_id());
    y[lane_id()] = r[0];
}
REGISTER_KERNEL(bug_plain_ldmatrix);

// All blocks write one number: by the same thread, or each by another.
KERNEL(bug_blocks_write_one, 64, 1)(float* y, int step) {
    if (thread_x() == block_x() * step) y[0] = float(block_x());
}
REGISTER_KERNEL(bug_blocks_write_one);

// The last block to come adds what all have stored, y = sum of partial [blocks, threads]; barriers: before it counts
// itself.
KERNEL(bug_last_block, 64, 1)(float* y, float* partial, int* counter, int barriers) {
    int* last = reinterpret_cast<int*>(shared_memory());
    partial[block_x() * block_threads() + thread_x()] = 1;
    if (barriers > 0) barrier();
    if (thread_x() == 0) *last = atomic_increment(counter) == grid_x() - 1;
    barrier();
    if (*last == 0) return;
    float sum = 0;
    for (int i = 0; i < grid_x(); i++) sum += partial[i * block_threads() + (thread_x() + 1) % block_threads()];
    y[thread_x()] = sum;
}
REGISTER_KERNEL(bug_last_block);

// An array on the thread's stack, and the block's shared memory, read `at`.
KERNEL(bug_stack_array, 32, 1)(float* y, int at) {
    volatile float mine[8];
    for (int i = 0; i < 8; i++) mine[i] = float(i);
    y[thread_x()] = mine[at];
}
REGISTER_KERNEL(bug_stack_array);

KERNEL(bug_plain_shared, 32, 1)(float* y, int at) {
    y[thread_x()] = reinterpret_cast<const float*>(shared_memory())[at];
}
REGISTER_KERNEL(bug_plain_shared);
