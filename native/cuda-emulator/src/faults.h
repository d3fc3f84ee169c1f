// Faults of kernels that dereference a pointer without the helpers: the signal becomes an error of the launch.
#pragma once

namespace emulator {

/// Installs the handler once in front of the one that is there, and gives this host thread a stack for signals.
void catch_faults();

}  // namespace emulator
