// Turns exceptions and bad arguments into status codes at the C boundary.
#pragma once

#include <new>
#include <system_error>

#include "llavasp_cpu.h"

namespace lsp {

template <typename Body>
int32_t guarded(bool arguments_are_valid, const Body& body) {
    if (!arguments_are_valid) return LSP_INVALID_ARGUMENT;
    try {
        return body();
    } catch (const std::bad_alloc&) {
        return LSP_OUT_OF_MEMORY;
    } catch (const std::system_error&) {
        return LSP_NO_THREADS;
    }
}

}  // namespace lsp
