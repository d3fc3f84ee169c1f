#pragma once

#include <stdint.h>

namespace lsp {
namespace {

// One group of MR rows of quantised x: values [columns / 4][MR][4], scales [MR], start [MR] = -offset * sum of the
// group.
struct QuantizedRows {
    const int8_t* values;
    const float* scales;
    const int32_t* start;
};

}  // namespace
}  // namespace lsp
