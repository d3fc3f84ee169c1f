// The one device and its context.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "device_memory.h"
#include "errors.h"
#include "modules.h"
#include "streams.h"

struct CUctx_st {
    int unused;
};

using namespace emulator;
using Lock = std::lock_guard<std::recursive_mutex>;

namespace {

CUctx_st the_context;
int retained = 0;
bool initialized = false;
thread_local CUcontext current_context = nullptr;

CUresult check(CUdevice device) {
    if (!initialized) return report(CUDA_ERROR_NOT_INITIALIZED, "cuInit was not called");
    return device == 0 ? CUDA_SUCCESS : report(CUDA_ERROR_INVALID_DEVICE, "device %d: there is only device 0", device);
}

int setting(const char* name, int otherwise) {
    const char* text = getenv(name);
    return text == nullptr ? otherwise : atoi(text);
}

}  // namespace

CUresult cuInit(unsigned flags) {
    if (flags != 0) return report(CUDA_ERROR_INVALID_VALUE, "cuInit(%u)", flags);
    initialized = true;
    return CUDA_SUCCESS;
}

CUresult cuDriverGetVersion(int* version) {
    *version = 12000;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int* count) {
    *count = 1;
    return check(0);
}

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
    *device = ordinal;
    return check(ordinal);
}

CUresult cuDeviceGetName(char* name, int length, CUdevice device) {
    if (const CUresult error = check(device)) return error;
    snprintf(name, size_t(length), "CUDA emulator (CPU)");
    return CUDA_SUCCESS;
}

CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice device) {
    *bytes = device_memory_total();
    return check(device);
}

CUresult cuDeviceGetAttribute(int* value, int attribute, CUdevice device) {
    if (const CUresult error = check(device)) return error;
    // CUdevice_attribute: the values of a small card of compute capability 8.0.
    switch (attribute) {
        case 1:  // MAX_THREADS_PER_BLOCK
        case 2:  // MAX_BLOCK_DIM_X
        case 3:  // MAX_BLOCK_DIM_Y
            *value = 1024;
            break;
        case 4:  // MAX_BLOCK_DIM_Z
            *value = 64;
            break;
        case 5:  // MAX_GRID_DIM_X
            *value = 2147483647;
            break;
        case 6:  // MAX_GRID_DIM_Y
        case 7:  // MAX_GRID_DIM_Z
            *value = 65535;
            break;
        case 8:  // MAX_SHARED_MEMORY_PER_BLOCK
            *value = int(kDefaultSharedLimit);
            break;
        case 10:  // WARP_SIZE
            *value = 32;
            break;
        case 12:  // MAX_REGISTERS_PER_BLOCK
        case 82:  // MAX_REGISTERS_PER_MULTIPROCESSOR
            *value = 65536;
            break;
        case 13:  // CLOCK_RATE, kHz
        case 36:  // MEMORY_CLOCK_RATE
            *value = 1000000;
            break;
        case 14:  // TEXTURE_ALIGNMENT
            *value = 512;
            break;
        case 15:  // GPU_OVERLAP
        case 31:  // CONCURRENT_KERNELS
        case 41:  // UNIFIED_ADDRESSING
            *value = 1;
            break;
        case 16:  // MULTIPROCESSOR_COUNT
            *value = setting("LSP_EMULATOR_SMS", 8);
            break;
        case 17:  // KERNEL_EXEC_TIMEOUT
        case 18:  // INTEGRATED
        case 20:  // COMPUTE_MODE
        case 33:  // PCI_BUS_ID
        case 34:  // PCI_DEVICE_ID
        case 50:  // PCI_DOMAIN_ID
        case 83:  // MANAGED_MEMORY
            *value = 0;
            break;
        case 37:  // GLOBAL_MEMORY_BUS_WIDTH
            *value = 256;
            break;
        case 38:  // L2_CACHE_SIZE
            *value = 4 << 20;
            break;
        case 39:  // MAX_THREADS_PER_MULTIPROCESSOR
            *value = 2048;
            break;
        case 40:  // ASYNC_ENGINE_COUNT
            *value = 2;
            break;
        case 75:  // COMPUTE_CAPABILITY_MAJOR
            *value = setting("LSP_EMULATOR_CAPABILITY", 80) / 10;
            break;
        case 76:  // COMPUTE_CAPABILITY_MINOR
            *value = setting("LSP_EMULATOR_CAPABILITY", 80) % 10;
            break;
        case 81:  // MAX_SHARED_MEMORY_PER_MULTIPROCESSOR
            *value = 164 * 1024;
            break;
        case 97:  // MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
            *value = int(kMostSharedLimit);
            break;
        case 106:  // MAX_BLOCKS_PER_MULTIPROCESSOR
            *value = 32;
            break;
        case 111:  // RESERVED_SHARED_MEMORY_PER_BLOCK
            *value = 1024;
            break;
        case 115:  // MEMORY_POOLS_SUPPORTED
            *value = 0;
            break;
        default:
            return report(CUDA_ERROR_INVALID_VALUE, "cuDeviceGetAttribute: attribute %d is not emulated", attribute);
    }
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
    const Lock lock(api_lock());
    if (const CUresult error = check(device)) return error;
    retained++;
    *context = &the_context;
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
    const Lock lock(api_lock());
    if (const CUresult error = check(device)) return error;
    if (retained == 0) return report(CUDA_ERROR_INVALID_CONTEXT, "cuDevicePrimaryCtxRelease: it was not retained");
    if (--retained == 0) return cuDevicePrimaryCtxReset_v2(device);
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxReset_v2(CUdevice device) {
    const Lock lock(api_lock());
    if (const CUresult error = check(device)) return error;
    abandon_all();
    free_all_device_memory();
    set_sticky_error(CUDA_SUCCESS);
    return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext context) {
    if (context != nullptr && context != &the_context) return report(CUDA_ERROR_INVALID_CONTEXT, "no such context");
    current_context = context;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetCurrent(CUcontext* context) {
    *context = current_context;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetDevice(CUdevice* device) {
    *device = 0;
    return current_context == nullptr ? report(CUDA_ERROR_INVALID_CONTEXT, "no context is current") : CUDA_SUCCESS;
}

CUresult cuCtxSynchronize(void) {
    const Lock lock(api_lock());
    if (const CUresult error = refuse_in_capture("cuCtxSynchronize")) return error;
    return finish_all();
}
