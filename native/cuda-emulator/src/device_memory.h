// Device memory: one reserved range of addresses from which allocations are cut, with unmapped space between them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "emulator/driver.h"

namespace emulator {

CUresult allocate_device(CUdeviceptr* pointer, size_t bytes);
CUresult free_device(CUdeviceptr pointer);
CUresult allocate_host(void** pointer, size_t bytes);
CUresult free_host(void* pointer);

/// Whether [pointer, pointer + bytes) lies in one device allocation.
bool in_device(CUdeviceptr pointer, size_t bytes);
/// Whether it lies in one allocation of cuMemAllocHost.
bool in_pinned_host(const void* pointer, size_t bytes);
/// "0x… lies 4 bytes behind the allocation of 100 bytes at 0x…".
const char* describe_device_address(uintptr_t address, char (&text)[200]);

size_t device_memory_total();
size_t device_memory_used();
void free_all_device_memory();

/// While an object of it lives, the host may touch device memory; otherwise an access to it faults.
class DeviceMemoryOpen {
  public:
    DeviceMemoryOpen();
    ~DeviceMemoryOpen();
    DeviceMemoryOpen(const DeviceMemoryOpen&) = delete;
    DeviceMemoryOpen& operator=(const DeviceMemoryOpen&) = delete;
};

}  // namespace emulator
