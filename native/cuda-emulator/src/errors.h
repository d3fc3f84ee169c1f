// The text and code of the last error, and how a kernel that went wrong ends its launch.
#pragma once

#include <string>

#include "emulator/driver.h"

namespace emulator {

/// Remembers the text for lspEmulatorLastError and gives the code back.
CUresult report(CUresult code, const char* format, ...) __attribute__((format(printf, 2, 3)));

/// The error of a launch that failed, which every later call returns until the context is reset; CUDA_SUCCESS if none.
/// Makes its text the last one again.
CUresult sticky_error();
/// To be called behind report.
void set_sticky_error(CUresult code);

/// Text in the manner of printf.
std::string text_of(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace emulator
