// C ABI: engine and memory.
#include <cstring>
#include <memory>

#include "api.h"
#include "arena.h"
#include "engine.h"

using namespace lsp;

int32_t lsp_abi_version(void) { return LSP_ABI_VERSION; }

const char* lsp_isa_available(int32_t index) {
    for (int i = 0; i < isa_count(); i++) {
        if (isa_at(i).supported() && index-- == 0) return isa_at(i).name;
    }
    return nullptr;
}

int32_t lsp_engine_create(const char* isa, int32_t threads, lsp_engine** out) {
    return guarded(out != nullptr && threads >= 1 && threads <= 1024, [&] {
        const Isa* chosen = nullptr;
        for (int i = 0; i < isa_count(); i++) {
            const Isa& candidate = isa_at(i);
            if (isa == nullptr ? candidate.supported() : std::strcmp(isa, candidate.name) == 0) chosen = &candidate;
        }
        if (chosen == nullptr) return LSP_UNKNOWN_ISA;
        if (!chosen->supported()) return LSP_UNSUPPORTED_ISA;
        *out = new lsp_engine(*chosen, threads);
        return LSP_OK;
    });
}

void lsp_engine_destroy(lsp_engine* engine) { delete engine; }

const char* lsp_engine_isa(const lsp_engine* engine) { return engine == nullptr ? nullptr : engine->isa.name; }

void* lsp_allocate(int64_t bytes) {
    if (bytes < 0) return nullptr;
    try {
        return arena_allocate(static_cast<size_t>(bytes));
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

void lsp_free(void* block, int64_t bytes) { arena_release(block, static_cast<size_t>(bytes)); }
