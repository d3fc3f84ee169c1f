#include "isa.h"

#include <cstdint>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace lsp {
namespace {

const Isa* const kIsas[] = {
    &kScalarIsa,
#if defined(__x86_64__)
    &kAvx2Isa,   &kAvxVnniIsa, &kAvx512Isa, &kAvx512VnniIsa, &kAmxIsa,
#elif defined(__aarch64__)
    &kNeonIsa,
    &kDotprodIsa,
    &kI8mmIsa,
#endif
};

#if defined(__x86_64__)
// Linux saves the tiles of a process, 8 KiB for each thread, only where it asked for that.
bool may_use_tiles() {
    constexpr long kRequestPermission = 0x1023, kTileData = 18;
    return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

struct Cpu {
    bool avx2 = false;
    bool avxvnni = false;
    bool avx512 = false;
    bool vnni = false;
    bool amx = false;

    Cpu() {
        uint32_t a, b, c, d;
        if (!__get_cpuid(1, &a, &b, &c, &d)) return;
        const bool osxsave = c >> 27 & 1, avx = c >> 28 & 1, fma = c >> 12 & 1, f16c = c >> 29 & 1;
        if (!osxsave || !avx) return;
        uint32_t low, high;
        asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
        const bool ymm = (low & 0x06) == 0x06;  // xmm, ymm saved by the operating system
        const bool zmm = (low & 0xe6) == 0xe6;  // and opmask, zmm0-15, zmm16-31
        if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
        avx2 = ymm && fma && f16c && (b >> 5 & 1);
        avx512 = avx2 && zmm && (b >> 16 & 1) && (b >> 17 & 1) && (b >> 30 & 1) && (b >> 31 & 1);  // F, DQ, BW, VL
        vnni = avx512 && (c >> 11 & 1);
        const bool tiles = (low & 0x60000) == 0x60000;                             // and tile configuration, tiles
        amx = vnni && tiles && (d >> 24 & 1) && (d >> 25 & 1) && may_use_tiles();  // TILE, INT8
        if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) avxvnni = avx2 && (a >> 4 & 1);
    }
};

const Cpu& cpu() {
    static const Cpu instance;
    return instance;
}
#endif

}  // namespace

int isa_count() { return sizeof(kIsas) / sizeof(kIsas[0]); }

const Isa& isa_at(int index) { return *kIsas[index]; }

#if defined(__x86_64__)
bool cpu_has_avx2() { return cpu().avx2; }
bool cpu_has_avxvnni() { return cpu().avxvnni; }
bool cpu_has_avx512() { return cpu().avx512; }
bool cpu_has_avx512vnni() { return cpu().vnni; }
bool cpu_has_amx() { return cpu().amx; }
#elif defined(__aarch64__)
bool cpu_has_neon() { return getauxval(AT_HWCAP) & HWCAP_ASIMD; }
bool cpu_has_dotprod() { return cpu_has_neon() && (getauxval(AT_HWCAP) & HWCAP_ASIMDDP); }
// Its unit is compiled with the dot products as well.
bool cpu_has_i8mm() { return cpu_has_dotprod() && (getauxval(AT_HWCAP2) & HWCAP2_I8MM); }
#endif

}  // namespace lsp
