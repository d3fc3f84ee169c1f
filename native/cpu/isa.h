// The instruction sets of this build and which of them this machine can run.
#pragma once

namespace lsp {

struct VectorKernels;
struct MatrixKernels;

struct Isa {
    const char* name;
    bool (*supported)();  // by the processor and, for wide registers, by the operating system
    const VectorKernels* vector;
    const MatrixKernels* matrix;
};

// All that were compiled, worst first.
int isa_count();
const Isa& isa_at(int index);

// One table per unit isa_*.cpp.
extern const Isa kScalarIsa;
extern const Isa kAvx2Isa;
extern const Isa kAvxVnniIsa;
extern const Isa kAvx512Isa;
extern const Isa kAvx512VnniIsa;
extern const Isa kAmxIsa;
extern const Isa kNeonIsa;
extern const Isa kDotprodIsa;
extern const Isa kI8mmIsa;

bool cpu_has_avx2();
bool cpu_has_avxvnni();
bool cpu_has_avx512();
bool cpu_has_avx512vnni();
bool cpu_has_amx();
bool cpu_has_neon();
bool cpu_has_dotprod();
bool cpu_has_i8mm();

}  // namespace lsp
