// Copies and fills, and the calls that allocate.
#include <cstring>

#include "device_memory.h"
#include "errors.h"
#include "streams.h"

using namespace emulator;
using Lock = std::lock_guard<std::recursive_mutex>;

namespace {

void* at(CUdeviceptr pointer) { return reinterpret_cast<void*>(uintptr_t(pointer)); }

CUresult outside(const char* call, CUdeviceptr pointer, size_t bytes) {
    char text[200];
    return report(CUDA_ERROR_INVALID_VALUE, "%s: %zu bytes are not within one allocation, from %s", call, bytes,
                  describe_device_address(uintptr_t(pointer), text));
}

GraphNode node_of(std::function<CUresult()> run, int type) {
    GraphNode node;
    node.run = std::move(run);
    node.type = type;
    return node;
}

GraphNode copy_node(void* destination, const void* source, size_t bytes) {
    return node_of(
        [=] {
            memmove(destination, source, bytes);
            return CUDA_SUCCESS;
        },
        kNodeCopy);
}

// Calls that wait are not allowed on a stream that is captured.
CUresult enqueue_and_wait(CUstream stream, GraphNode node) {
    const CUresult result = enqueue(stream, std::move(node));
    return result != CUDA_SUCCESS ? result : cuStreamSynchronize(stream);
}

}  // namespace

CUresult cuMemAlloc_v2(CUdeviceptr* pointer, size_t bytes) {
    const Lock lock(api_lock());
    if (const CUresult error = refuse_in_capture("cuMemAlloc")) return error;
    if (const CUresult error = sticky_error()) return error;
    return allocate_device(pointer, bytes);
}

CUresult cuMemFree_v2(CUdeviceptr pointer) {
    const Lock lock(api_lock());
    if (const CUresult error = refuse_in_capture("cuMemFree")) return error;
    if (pointer == 0) return sticky_error();
    finish_all();
    const CUresult result = free_device(pointer);
    return result != CUDA_SUCCESS ? result : sticky_error();
}

CUresult cuMemAllocHost_v2(void** pointer, size_t bytes) {
    const Lock lock(api_lock());
    if (const CUresult error = refuse_in_capture("cuMemAllocHost")) return error;
    if (const CUresult error = sticky_error()) return error;
    return allocate_host(pointer, bytes);
}

CUresult cuMemFreeHost(void* pointer) {
    const Lock lock(api_lock());
    if (const CUresult error = refuse_in_capture("cuMemFreeHost")) return error;
    finish_all();
    const CUresult result = free_host(pointer);
    return result != CUDA_SUCCESS ? result : sticky_error();
}

CUresult cuMemGetInfo_v2(size_t* free, size_t* total) {
    *total = device_memory_total();
    *free = *total - device_memory_used();
    return sticky_error();
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr destination, const void* source, size_t bytes, CUstream stream) {
    const Lock lock(api_lock());
    if (bytes == 0) return sticky_error();
    if (!in_device(destination, bytes)) return outside("cuMemcpyHtoD", destination, bytes);
    if (in_pinned_host(source, bytes)) return enqueue(stream, copy_node(at(destination), source, bytes));
    // Pageable memory is copied to a buffer of the driver before the call returns.
    const unsigned char* start = static_cast<const unsigned char*>(source);
    auto staged = std::make_shared<std::vector<unsigned char>>(start, start + bytes);
    return enqueue(stream, node_of(
                               [=] {
                                   memcpy(at(destination), staged->data(), bytes);
                                   return CUDA_SUCCESS;
                               },
                               kNodeCopy));
}

CUresult cuMemcpyDtoHAsync_v2(void* destination, CUdeviceptr source, size_t bytes, CUstream stream) {
    const Lock lock(api_lock());
    if (bytes == 0) return sticky_error();
    if (!in_device(source, bytes)) return outside("cuMemcpyDtoH", source, bytes);
    GraphNode node = copy_node(destination, at(source), bytes);
    // To pageable memory: there when the call returns.
    return in_pinned_host(destination, bytes) ? enqueue(stream, std::move(node))
                                              : enqueue_and_wait(stream, std::move(node));
}

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr destination, CUdeviceptr source, size_t bytes, CUstream stream) {
    const Lock lock(api_lock());
    if (bytes == 0) return sticky_error();
    if (!in_device(destination, bytes)) return outside("cuMemcpyDtoD", destination, bytes);
    if (!in_device(source, bytes)) return outside("cuMemcpyDtoD", source, bytes);
    return enqueue(stream, copy_node(at(destination), at(source), bytes));
}

CUresult cuMemcpyHtoD_v2(CUdeviceptr destination, const void* source, size_t bytes) {
    const Lock lock(api_lock());
    if (const CUresult error = refuse_in_capture("cuMemcpyHtoD")) return error;
    if (bytes == 0) return sticky_error();
    if (!in_device(destination, bytes)) return outside("cuMemcpyHtoD", destination, bytes);
    return enqueue_and_wait(nullptr, copy_node(at(destination), source, bytes));
}

CUresult cuMemcpyDtoH_v2(void* destination, CUdeviceptr source, size_t bytes) {
    const Lock lock(api_lock());
    if (const CUresult error = refuse_in_capture("cuMemcpyDtoH")) return error;
    if (bytes == 0) return sticky_error();
    if (!in_device(source, bytes)) return outside("cuMemcpyDtoH", source, bytes);
    return enqueue_and_wait(nullptr, copy_node(destination, at(source), bytes));
}

CUresult cuMemcpyDtoD_v2(CUdeviceptr destination, CUdeviceptr source, size_t bytes) {
    return cuMemcpyDtoDAsync_v2(destination, source, bytes, nullptr);
}

CUresult cuMemsetD8Async(CUdeviceptr destination, unsigned char value, size_t bytes, CUstream stream) {
    const Lock lock(api_lock());
    if (bytes == 0) return sticky_error();
    if (!in_device(destination, bytes)) return outside("cuMemsetD8", destination, bytes);
    return enqueue(stream, node_of(
                               [=] {
                                   memset(at(destination), value, bytes);
                                   return CUDA_SUCCESS;
                               },
                               kNodeMemset));
}

CUresult cuMemsetD32Async(CUdeviceptr destination, unsigned value, size_t words, CUstream stream) {
    const Lock lock(api_lock());
    if (words == 0) return sticky_error();
    if (!in_device(destination, words * 4)) return outside("cuMemsetD32", destination, words * 4);
    return enqueue(stream, node_of(
                               [=] {
                                   for (size_t i = 0; i < words; i++) memcpy(at(destination + i * 4), &value, 4);
                                   return CUDA_SUCCESS;
                               },
                               kNodeMemset));
}

CUresult cuMemsetD8_v2(CUdeviceptr destination, unsigned char value, size_t bytes) {
    return cuMemsetD8Async(destination, value, bytes, nullptr);
}
