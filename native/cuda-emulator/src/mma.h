// The arithmetic of a warp's mma: one call for its 32 lanes, whose operands are in Lane::result (d) and operands (a,
// b).
#pragma once

#include "block.h"

namespace emulator {

void multiply_f16(Lane* lanes);
void multiply_bf16(Lane* lanes);
void multiply_s8(Lane* lanes);

}  // namespace emulator
