// Kernels that were compiled in, as functions of a module.
#pragma once

#include <memory>

#include "emulator/device.h"
#include "emulator/driver.h"
#include "kernel_launch.h"

/// A kernel with the attributes that the host sets.
struct CUfunc_st {
    const emulator::KernelRegistration* kernel;
    unsigned shared_limit;
};

namespace emulator {

constexpr unsigned kDefaultSharedLimit = 48 * 1024;
/// What a block can have on every architecture from compute capability 8.0 on.
constexpr unsigned kMostSharedLimit = 99 * 1024;

/// Checks a launch's arguments and packs its parameters (`parameters` one by one or a block in `extra`).
CUresult make_launch(CUfunction function, const unsigned (&grid)[3], const unsigned (&block)[3], unsigned shared_bytes,
                     void** parameters, void** extra, KernelLaunch& launch);

/// The function of a kernel; null if it was never asked for.
CUfunction function_of(const KernelRegistration* kernel);

}  // namespace emulator
