// How the float tiles read weights.
#pragma once

#include "../simd.h"

namespace lsp {
namespace {

struct FromF32 {
    using Element = float;
    static F32 at(const float* p) { return load(p); }
};
struct FromF16 {
    using Element = uint16_t;
    static F32 at(const uint16_t* p) { return load_f16(p); }
};
struct FromBF16 {
    using Element = uint16_t;
    static F32 at(const uint16_t* p) { return load_bf16(p); }
};

}  // namespace
}  // namespace lsp
