// The part of CUDA's driver API that the emulator has, and what it adds (lspEmulator...). Names and values are CUDA's.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define EMULATOR_API extern "C" __attribute__((visibility("default")))
#else
#define EMULATOR_API __attribute__((visibility("default")))
#endif

typedef enum {
    CUDA_SUCCESS = 0,
    CUDA_ERROR_INVALID_VALUE = 1,
    CUDA_ERROR_OUT_OF_MEMORY = 2,
    CUDA_ERROR_NOT_INITIALIZED = 3,
    CUDA_ERROR_INVALID_DEVICE = 101,
    CUDA_ERROR_INVALID_IMAGE = 200,
    CUDA_ERROR_INVALID_CONTEXT = 201,
    CUDA_ERROR_INVALID_HANDLE = 400,
    CUDA_ERROR_NOT_FOUND = 500,
    CUDA_ERROR_NOT_READY = 600,
    CUDA_ERROR_ILLEGAL_ADDRESS = 700,
    CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES = 701,
    CUDA_ERROR_MISALIGNED_ADDRESS = 716,
    CUDA_ERROR_LAUNCH_FAILED = 719,
    CUDA_ERROR_NOT_SUPPORTED = 801,
    CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900,
    CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901,
    CUDA_ERROR_STREAM_CAPTURE_UNJOINED = 904
} CUresult;

typedef int CUdevice;
typedef uint64_t CUdeviceptr;
typedef struct CUctx_st* CUcontext;
typedef struct CUmod_st* CUmodule;
typedef struct CUfunc_st* CUfunction;
typedef struct CUstream_st* CUstream;
typedef struct CUevent_st* CUevent;
typedef struct CUgraph_st* CUgraph;
typedef struct CUgraphExec_st* CUgraphExec;
typedef struct CUgraphNode_st* CUgraphNode;

typedef struct {
    CUfunction func;
    unsigned gridDimX, gridDimY, gridDimZ;
    unsigned blockDimX, blockDimY, blockDimZ;
    unsigned sharedMemBytes;
    void** kernelParams;
    void** extra;
} CUDA_KERNEL_NODE_PARAMS;

// Ends, pointer to and size of a packed parameter block in `extra`.
#define CU_LAUNCH_PARAM_END ((void*)0)
#define CU_LAUNCH_PARAM_BUFFER_POINTER ((void*)1)
#define CU_LAUNCH_PARAM_BUFFER_SIZE ((void*)2)

enum { CU_STREAM_NON_BLOCKING = 1, CU_EVENT_DISABLE_TIMING = 2 };

// Devices and contexts.
EMULATOR_API CUresult cuInit(unsigned flags);
EMULATOR_API CUresult cuDriverGetVersion(int* version);
EMULATOR_API CUresult cuDeviceGet(CUdevice* device, int ordinal);
EMULATOR_API CUresult cuDeviceGetCount(int* count);
EMULATOR_API CUresult cuDeviceGetName(char* name, int length, CUdevice device);
EMULATOR_API CUresult cuDeviceGetAttribute(int* value, int attribute, CUdevice device);
EMULATOR_API CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice device);
EMULATOR_API CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device);
EMULATOR_API CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device);
EMULATOR_API CUresult cuDevicePrimaryCtxReset_v2(CUdevice device);
EMULATOR_API CUresult cuCtxSetCurrent(CUcontext context);
EMULATOR_API CUresult cuCtxGetCurrent(CUcontext* context);
EMULATOR_API CUresult cuCtxGetDevice(CUdevice* device);
EMULATOR_API CUresult cuCtxSynchronize(void);

// Memory.
EMULATOR_API CUresult cuMemAlloc_v2(CUdeviceptr* pointer, size_t bytes);
EMULATOR_API CUresult cuMemFree_v2(CUdeviceptr pointer);
EMULATOR_API CUresult cuMemAllocHost_v2(void** pointer, size_t bytes);
EMULATOR_API CUresult cuMemFreeHost(void* pointer);
EMULATOR_API CUresult cuMemGetInfo_v2(size_t* free, size_t* total);
EMULATOR_API CUresult cuMemcpyHtoD_v2(CUdeviceptr destination, const void* source, size_t bytes);
EMULATOR_API CUresult cuMemcpyDtoH_v2(void* destination, CUdeviceptr source, size_t bytes);
EMULATOR_API CUresult cuMemcpyDtoD_v2(CUdeviceptr destination, CUdeviceptr source, size_t bytes);
EMULATOR_API CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr destination, const void* source, size_t bytes, CUstream stream);
EMULATOR_API CUresult cuMemcpyDtoHAsync_v2(void* destination, CUdeviceptr source, size_t bytes, CUstream stream);
EMULATOR_API CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr destination, CUdeviceptr source, size_t bytes, CUstream stream);
EMULATOR_API CUresult cuMemsetD8_v2(CUdeviceptr destination, unsigned char value, size_t bytes);
EMULATOR_API CUresult cuMemsetD8Async(CUdeviceptr destination, unsigned char value, size_t bytes, CUstream stream);
EMULATOR_API CUresult cuMemsetD32Async(CUdeviceptr destination, unsigned value, size_t words, CUstream stream);

// Modules and launches.
EMULATOR_API CUresult cuModuleLoadData(CUmodule* module, const void* image);
EMULATOR_API CUresult cuModuleUnload(CUmodule module);
EMULATOR_API CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name);
EMULATOR_API CUresult cuFuncGetAttribute(int* value, int attribute, CUfunction function);
EMULATOR_API CUresult cuFuncSetAttribute(CUfunction function, int attribute, int value);
EMULATOR_API CUresult cuFuncGetParamInfo(CUfunction function, size_t index, size_t* offset, size_t* size);
EMULATOR_API CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction function, int threads,
                                                                  size_t shared_bytes);
EMULATOR_API CUresult cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                                     unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                                     CUstream stream, void** parameters, void** extra);

// Streams and events.
EMULATOR_API CUresult cuStreamCreate(CUstream* stream, unsigned flags);
EMULATOR_API CUresult cuStreamCreateWithPriority(CUstream* stream, unsigned flags, int priority);
EMULATOR_API CUresult cuStreamDestroy_v2(CUstream stream);
EMULATOR_API CUresult cuStreamSynchronize(CUstream stream);
EMULATOR_API CUresult cuStreamQuery(CUstream stream);
EMULATOR_API CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags);
EMULATOR_API CUresult cuEventCreate(CUevent* event, unsigned flags);
EMULATOR_API CUresult cuEventDestroy_v2(CUevent event);
EMULATOR_API CUresult cuEventRecord(CUevent event, CUstream stream);
EMULATOR_API CUresult cuEventSynchronize(CUevent event);
EMULATOR_API CUresult cuEventQuery(CUevent event);
EMULATOR_API CUresult cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end);

// Graphs.
EMULATOR_API CUresult cuStreamBeginCapture_v2(CUstream stream, int mode);
EMULATOR_API CUresult cuStreamEndCapture(CUstream stream, CUgraph* graph);
EMULATOR_API CUresult cuStreamIsCapturing(CUstream stream, int* status);
EMULATOR_API CUresult cuGraphCreate(CUgraph* graph, unsigned flags);
EMULATOR_API CUresult cuGraphAddKernelNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, size_t count,
                                           const CUDA_KERNEL_NODE_PARAMS* parameters);
EMULATOR_API CUresult cuGraphInstantiate_v2(CUgraphExec* exec, CUgraph graph, CUgraphNode* error_node, char* log,
                                            size_t log_bytes);
EMULATOR_API CUresult cuGraphInstantiateWithFlags(CUgraphExec* exec, CUgraph graph, unsigned long long flags);
EMULATOR_API CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream);
EMULATOR_API CUresult cuGraphUpload(CUgraphExec exec, CUstream stream);
EMULATOR_API CUresult cuGraphGetNodes(CUgraph graph, CUgraphNode* nodes, size_t* count);
EMULATOR_API CUresult cuGraphNodeGetType(CUgraphNode node, int* type);
EMULATOR_API CUresult cuGraphKernelNodeGetParams(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS* parameters);
EMULATOR_API CUresult cuGraphKernelNodeGetParams_v2(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS* parameters);
EMULATOR_API CUresult cuGraphExecKernelNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                                     const CUDA_KERNEL_NODE_PARAMS* parameters);
EMULATOR_API CUresult cuGraphExecKernelNodeSetParams_v2(CUgraphExec exec, CUgraphNode node,
                                                        const CUDA_KERNEL_NODE_PARAMS* parameters);
EMULATOR_API CUresult cuGraphDestroy(CUgraph graph);
EMULATOR_API CUresult cuGraphExecDestroy(CUgraphExec exec);

// Errors.
EMULATOR_API CUresult cuGetErrorName(CUresult error, const char** text);
EMULATOR_API CUresult cuGetErrorString(CUresult error, const char** text);

// What only the emulator has.
/// The text of the last error: what, kernel, block, thread. Valid until the calling thread asks again.
EMULATOR_API const char* lspEmulatorLastError(void);
/// Forgets the error of a failed launch, which every call returns otherwise, as on a device.
EMULATOR_API void lspEmulatorClearError(void);

enum { LSP_EMULATOR_FORWARD = 0, LSP_EMULATOR_REVERSE = 1, LSP_EMULATOR_RANDOM = 2 };
/// In which order blocks, warps, lanes and the work of different streams run.
EMULATOR_API void lspEmulatorSetOrder(int order, unsigned seed);

/// Whether races for shared memory are looked for (LSP_EMULATOR_RACES=1 in the environment): slower.
EMULATOR_API void lspEmulatorSetRaceCheck(int on);

/// What a kernel moved in the blocks that were counted, over all its launches. A sector is 32 bytes of global memory:
/// `least` is what the same bytes would take if they lay together; `different` counts each only once per launch. A
/// wavefront is what shared memory does at once: those beyond `least` are bank conflicts. mma by warps. memory: what
/// passes between the second-level cache and memory, where a cache is modelled (lspEmulatorCountCache), else 0.
typedef struct {
    char kernel[96];
    uint64_t launches, blocks, counted_blocks;
    uint64_t load_bytes, load_sectors, load_least_sectors, load_different_sectors;
    uint64_t store_bytes, store_sectors, store_least_sectors, store_different_sectors;
    uint64_t shared_requests, shared_wavefronts, shared_least_wavefronts;
    uint64_t mma_f16, mma_s8, async_bytes;
    uint64_t memory_read_bytes, memory_written_bytes;
} LspEmulatorCount;

/// The same for one place in the code ("file+offset", for addr2line). access: 0 load, 1 store of global memory
/// (units are sectors); 2 load, 3 store of shared memory (units are wavefronts).
typedef struct {
    char kernel[96];
    char place[128];
    int32_t access, lane_bytes;
    uint64_t requests, units, least_units;
} LspEmulatorSite;

/// Of each launch only so many blocks run from now on, evenly spread over the grid (0: all). Results are wrong then, and
/// so are those of later launches that build on them; it is for counting what would take too long.
EMULATOR_API void lspEmulatorRunOnly(int blocks_of_a_launch);

/// The size of the second-level cache that the next count models (0: none): lines of 128 bytes in sectors of 32, 16
/// ways, the least recently used one leaves, written back. It is empty when a launch begins and is written back when it
/// ends. Only counted blocks use it, one after the other on one host thread.
EMULATOR_API void lspEmulatorCountCache(uint64_t bytes);
/// Counts what is launched from now on; of each launch at most so many blocks, evenly spread (0: all). Slower.
EMULATOR_API void lspEmulatorCountBegin(int blocks_of_a_launch);
/// Ends it, after all work is done. Returns the number of kernels, of which at most `capacity` are written.
EMULATOR_API int lspEmulatorCountEnd(LspEmulatorCount* counts, int capacity);
/// The places of the last count: their number, of which at most `capacity` are written.
EMULATOR_API int lspEmulatorCountSites(LspEmulatorSite* sites, int capacity);
