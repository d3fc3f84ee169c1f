#include "isa.h"
#include "support.h"

// tile_forms.cpp.
int tile_form_differences();

// The maker of the processor decides between two forms of the integer tiles: the other tests run only one of them.
TEST(TileFormsTest, AllMakersGetTheSameBits) {
    if (!lsp::cpu_has_avx512vnni()) GTEST_SKIP() << "this processor has no AVX-512 VNNI";
    EXPECT_EQ(0, tile_form_differences());
}
