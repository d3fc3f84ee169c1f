// Barriers and the operations that the 32 lanes of a warp do together.
#include <cstring>

#include "block.h"
#include "errors.h"
#include "mma.h"

namespace emulator {

void barrier() {
    Lane& lane = current_lane();
    lane.warp->block->arrive_at_barrier(lane);
}

void warp_barrier() {
    gather(current_lane(), Wait::warp_barrier, [](Warp&) {});
}

uint32_t detail::shuffle_bits(uint32_t value, int source) {
    Lane& lane = current_lane();
    Warp& warp = *lane.warp;
    const uint32_t turn = warp.turn;
    warp.values[turn][lane.number] = value;
    gather(lane, Wait::shuffle, [](Warp&) {});
    return warp.values[turn][source & 31];
}

uint32_t ballot(bool value) {
    Lane& lane = current_lane();
    Warp& warp = *lane.warp;
    const uint32_t turn = warp.turn;
    warp.values[turn][lane.number] = value;
    gather(lane, Wait::ballot, [](Warp&) {});
    uint32_t bits = 0;
    for (int i = 0; i < 32; i++) bits |= warp.values[turn][i] << i;
    return bits;
}

namespace {

void load_matrices(Warp& warp, int matrices, bool transposed) {
    for (int i = 0; i < matrices; i++) {
        uint16_t rows[8][8];
        for (int j = 0; j < 8; j++) memcpy(rows[j], warp.lanes[i * 8 + j].operands[0], 16);
        for (int lane = 0; lane < 32; lane++) {
            const int g = lane / 4, t = lane % 4 * 2;
            const uint32_t low = transposed ? rows[t][g] : rows[g][t];
            const uint32_t high = transposed ? rows[t + 1][g] : rows[g][t + 1];
            static_cast<uint32_t*>(warp.lanes[lane].result)[i] = low | high << 16;
        }
    }
}

}  // namespace

void ldmatrix(uint32_t* r, const void* row, int matrices, bool transposed) {
    Lane& lane = current_lane();
    if (EMULATOR_UNLIKELY(reinterpret_cast<uintptr_t>(row) % 16 != 0 || !detail::in_shared_memory(lane, row, 16))) {
        detail::refuse(detail::Access::load_shared, row, 16);
    }
    if (EMULATOR_UNLIKELY(lane.watched) && lane.number < matrices * 8) {
        watch_at(__builtin_return_address(0), detail::Access::load_shared, row, 16);
    }
    lane.result = r;
    lane.operands[0] = row;
    gather(lane, Wait::ldmatrix, [=](Warp& warp) { load_matrices(warp, matrices, transposed); });
}

void mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    Lane& lane = current_lane();
    lane.result = d;
    lane.operands[0] = a;
    lane.operands[1] = b;
    gather(lane, Wait::mma_f16, [](Warp& warp) { multiply_f16(warp.lanes); });
}

void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    Lane& lane = current_lane();
    lane.result = d;
    lane.operands[0] = a;
    lane.operands[1] = b;
    gather(lane, Wait::mma_bf16, [](Warp& warp) { multiply_bf16(warp.lanes); });
}

void mma_s8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    Lane& lane = current_lane();
    lane.result = d;
    lane.operands[0] = a;
    lane.operands[1] = b;
    gather(lane, Wait::mma_s8, [](Warp& warp) { multiply_s8(warp.lanes); });
}

}  // namespace emulator
