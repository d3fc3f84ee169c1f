// C ABI: operations on vectors and rows, attention, cache, embedding, choice of a token.
#include "api.h"
#include "engine.h"

using namespace lsp;

int32_t lsp_activate(lsp_engine* engine, float* destination, const float* source, int64_t count, int32_t activation) {
    return guarded(engine && destination && source && count >= 0 && activation >= LSP_NONE && activation <= LSP_QUICK_GELU, [&] {
        engine->isa.vector->activate(*engine, destination, source, count, activation);
        return LSP_OK;
    });
}
