#include "modules.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "errors.h"
#include "fatbin.h"

/// The kernels that were compiled in, and what nvcc made of them where an image was given.
struct CUmod_st {
    std::vector<emulator::ImageKernels> images;
};

namespace emulator {
namespace {

constexpr char kImage[] = "LSPEMU01";

std::mutex guard;
std::vector<std::unique_ptr<CUmod_st>> modules;

// With `guard` held.
bool loaded(CUmodule module) {
    return std::any_of(modules.begin(), modules.end(), [=](const auto& entry) { return entry.get() == module; });
}

KernelRegistration*& first_kernel() {
    static KernelRegistration* first = nullptr;
    return first;
}

std::map<const KernelRegistration*, CUfunc_st>& functions() {
    static std::map<const KernelRegistration*, CUfunc_st> all;
    return all;
}

bool known(CUfunction function) {
    const std::lock_guard<std::mutex> lock(guard);
    for (const auto& [kernel, entry] : functions()) {
        if (&entry == function) return true;
    }
    return false;
}

// Holds a kernel's parameters against every cubin that was given: launches that fit this one must fit a device's.
CUresult check_parameters(const KernelRegistration& kernel, const std::vector<ImageKernels>& images) {
    for (const ImageKernels& image : images) {
        const auto found = image.kernels.find(kernel.name);
        if (found == image.kernels.end()) {
            return report(CUDA_ERROR_NOT_FOUND, "no kernel %s in the image for sm_%u: it is older than the emulator",
                          kernel.name, image.architecture);
        }
        const std::vector<ImageParameter>& parameters = found->second;
        if (parameters.size() != size_t(kernel.count)) {
            return report(CUDA_ERROR_INVALID_IMAGE, "kernel %s: takes %d parameters, in the image for sm_%u %zu",
                          kernel.name, kernel.count, image.architecture, parameters.size());
        }
        for (int i = 0; i < kernel.count; i++) {
            const KernelRegistration::Parameter& mine = kernel.parameters[i];
            const ImageParameter& theirs = parameters[size_t(i)];
            if (mine.offset == theirs.offset && mine.size == theirs.size) continue;
            return report(CUDA_ERROR_INVALID_IMAGE,
                          "kernel %s: parameter %d has %u bytes at %u, in the image for sm_%u %u bytes at %u",
                          kernel.name, i, mine.size, mine.offset, image.architecture, theirs.size, theirs.offset);
        }
    }
    return CUDA_SUCCESS;
}

// Packs what `extra` describes.
CUresult take_block(const KernelRegistration& kernel, void** extra, std::vector<unsigned char>& packed) {
    const void* block = nullptr;
    size_t bytes = 0;
    for (int i = 0; extra[i] != CU_LAUNCH_PARAM_END; i += 2) {
        if (extra[i] == CU_LAUNCH_PARAM_BUFFER_POINTER) {
            block = extra[i + 1];
        } else if (extra[i] == CU_LAUNCH_PARAM_BUFFER_SIZE) {
            bytes = *static_cast<const size_t*>(extra[i + 1]);
        } else {
            return report(CUDA_ERROR_INVALID_VALUE, "kernel %s: unknown entry %d of extra", kernel.name, i);
        }
    }
    // A block of a C struct may end with padding.
    const size_t padded = (kernel.bytes + 7u) / 8 * 8;
    if (bytes < kernel.bytes || bytes > padded || (bytes > 0 && block == nullptr)) {
        return report(CUDA_ERROR_INVALID_VALUE, "kernel %s: takes %d parameters of %u bytes, the block has %zu",
                      kernel.name, kernel.count, kernel.bytes, bytes);
    }
    const unsigned char* start = static_cast<const unsigned char*>(block);
    packed.assign(start, start + kernel.bytes);
    return CUDA_SUCCESS;
}

}  // namespace

void KernelRegistration::enroll() {
    next = first_kernel();
    first_kernel() = this;
}

CUfunction function_of(const KernelRegistration* kernel) {
    const std::lock_guard<std::mutex> lock(guard);
    const auto at = functions().find(kernel);
    return at == functions().end() ? nullptr : &at->second;
}

CUresult make_launch(CUfunction function, const unsigned (&grid)[3], const unsigned (&block)[3], unsigned shared_bytes,
                     void** parameters, void** extra, KernelLaunch& launch) {
    if (!known(function)) return report(CUDA_ERROR_INVALID_HANDLE, "launch of something that is no function");
    const KernelRegistration& kernel = *function->kernel;
    if (grid[0] == 0 || grid[1] == 0 || grid[2] == 0 || grid[0] > 2147483647u || grid[1] > 65535u || grid[2] > 65535u) {
        return report(CUDA_ERROR_INVALID_VALUE,
                      "kernel %s: a grid of %u x %u x %u blocks (limit 2147483647 x 65535 x 65535)", kernel.name,
                      grid[0], grid[1], grid[2]);
    }
    if (block[1] != 1 || block[2] != 1) {
        return report(CUDA_ERROR_INVALID_VALUE,
                      "kernel %s: a block of %u x %u x %u threads (kernels have one dimension)", kernel.name, block[0],
                      block[1], block[2]);
    }
    if (block[0] == 0 || block[0] > 1024) {
        return report(CUDA_ERROR_INVALID_VALUE, "kernel %s: a block of %u threads (limit 1024)", kernel.name, block[0]);
    }
    if (block[0] > unsigned(kernel.most_threads)) {
        return report(CUDA_ERROR_INVALID_VALUE, "kernel %s: a block of %u threads, its launch bound is %d", kernel.name,
                      block[0], kernel.most_threads);
    }
    if (shared_bytes > function->shared_limit) {
        return report(CUDA_ERROR_INVALID_VALUE, "kernel %s: %u bytes of shared memory, its limit is %u", kernel.name,
                      shared_bytes, function->shared_limit);
    }
    launch.kernel = &kernel;
    memcpy(launch.grid, grid, sizeof grid);
    launch.threads = block[0];
    launch.shared_bytes = shared_bytes;
    if (parameters != nullptr && extra != nullptr) {
        return report(CUDA_ERROR_INVALID_VALUE, "kernel %s: parameters in both forms", kernel.name);
    }
    if (extra != nullptr) return take_block(kernel, extra, launch.parameters);
    if (parameters == nullptr && kernel.count > 0) {
        return report(CUDA_ERROR_INVALID_VALUE, "kernel %s: no parameters, it takes %d", kernel.name, kernel.count);
    }
    launch.parameters.assign(kernel.bytes, 0);
    for (int i = 0; i < kernel.count; i++) {
        memcpy(launch.parameters.data() + kernel.parameters[i].offset, parameters[i], kernel.parameters[i].size);
    }
    return CUDA_SUCCESS;
}

}  // namespace emulator

using namespace emulator;

CUresult cuModuleLoadData(CUmodule* module, const void* image) {
    if (module == nullptr || image == nullptr) return report(CUDA_ERROR_INVALID_VALUE, "cuModuleLoadData(null)");
    if (memcmp(image, kImage, 8) != 0) {
        return report(
            CUDA_ERROR_INVALID_IMAGE,
            "the emulator runs only the kernels that were compiled into it: load an image that begins with %s", kImage);
    }
    auto created = std::make_unique<CUmod_st>();
    const char* compiled = static_cast<const char*>(image) + 8;
    std::string problem;
    if (looks_like_image(compiled) && !read_image(compiled, image_bytes(compiled), created->images, problem)) {
        return report(CUDA_ERROR_INVALID_IMAGE, "behind %s: %s", kImage, problem.c_str());
    }
    const std::lock_guard<std::mutex> lock(guard);
    *module = created.get();
    modules.push_back(std::move(created));
    return CUDA_SUCCESS;
}

CUresult cuModuleUnload(CUmodule module) {
    const std::lock_guard<std::mutex> lock(guard);
    if (!loaded(module)) return report(CUDA_ERROR_INVALID_HANDLE, "cuModuleUnload: no module");
    modules.erase(
        std::find_if(modules.begin(), modules.end(), [=](const auto& entry) { return entry.get() == module; }));
    return CUDA_SUCCESS;
}

CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
    if (function == nullptr || name == nullptr) return report(CUDA_ERROR_INVALID_VALUE, "cuModuleGetFunction(null)");
    const std::lock_guard<std::mutex> lock(guard);
    if (!loaded(module)) return report(CUDA_ERROR_INVALID_HANDLE, "cuModuleGetFunction: no module");
    for (const KernelRegistration* kernel = first_kernel(); kernel != nullptr; kernel = kernel->next) {
        if (strcmp(kernel->name, name) != 0) continue;
        if (const CUresult result = check_parameters(*kernel, module->images); result != CUDA_SUCCESS) return result;
        *function = &functions().emplace(kernel, CUfunc_st{kernel, kDefaultSharedLimit}).first->second;
        return CUDA_SUCCESS;
    }
    return report(CUDA_ERROR_NOT_FOUND, "no kernel %s was compiled in", name);
}

namespace {
// CUfunction_attribute.
enum {
    kMaxThreadsPerBlock = 0,
    kStaticShared = 1,
    kConstBytes = 2,
    kLocalBytes = 3,
    kRegisters = 4,
    kMaxDynamicShared = 8,
    kPreferredCarveout = 9
};
}  // namespace

CUresult cuFuncGetAttribute(int* value, int attribute, CUfunction function) {
    if (!known(function)) return report(CUDA_ERROR_INVALID_HANDLE, "cuFuncGetAttribute: no function");
    switch (attribute) {
        case kMaxThreadsPerBlock:
            *value = function->kernel->most_threads;
            return CUDA_SUCCESS;
        case kStaticShared:
        case kConstBytes:
        case kLocalBytes:
            *value = 0;
            return CUDA_SUCCESS;
        case kRegisters:
            *value = 64;  // not known here: nvcc decides
            return CUDA_SUCCESS;
        case kMaxDynamicShared:
            *value = int(function->shared_limit);
            return CUDA_SUCCESS;
        case kPreferredCarveout:
            *value = -1;
            return CUDA_SUCCESS;
        default:
            return report(CUDA_ERROR_INVALID_VALUE, "cuFuncGetAttribute: attribute %d", attribute);
    }
}

CUresult cuFuncSetAttribute(CUfunction function, int attribute, int value) {
    if (!known(function)) return report(CUDA_ERROR_INVALID_HANDLE, "cuFuncSetAttribute: no function");
    if (attribute == kPreferredCarveout) return CUDA_SUCCESS;
    if (attribute != kMaxDynamicShared) {
        return report(CUDA_ERROR_INVALID_VALUE, "cuFuncSetAttribute: attribute %d", attribute);
    }
    if (value < 0 || unsigned(value) > kMostSharedLimit) {
        return report(CUDA_ERROR_INVALID_VALUE, "kernel %s: %d bytes of shared memory (limit %u)",
                      function->kernel->name, value, kMostSharedLimit);
    }
    function->shared_limit = unsigned(value);
    return CUDA_SUCCESS;
}

CUresult cuFuncGetParamInfo(CUfunction function, size_t index, size_t* offset, size_t* size) {
    if (!known(function)) return report(CUDA_ERROR_INVALID_HANDLE, "cuFuncGetParamInfo: no function");
    if (index >= size_t(function->kernel->count)) return CUDA_ERROR_INVALID_VALUE;
    if (offset != nullptr) *offset = function->kernel->parameters[index].offset;
    if (size != nullptr) *size = function->kernel->parameters[index].size;
    return CUDA_SUCCESS;
}

// As if registers did not limit it: 2048 threads, 32 blocks and 164 KiB per multiprocessor, 1 KiB of it per block.
CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction function, int threads,
                                                     size_t shared_bytes) {
    if (!known(function)) return report(CUDA_ERROR_INVALID_HANDLE, "cuOccupancy…: no function");
    if (threads < 1 || threads > 1024 || shared_bytes > function->shared_limit) {
        return report(CUDA_ERROR_INVALID_VALUE, "kernel %s: %d threads, %zu bytes of shared memory",
                      function->kernel->name, threads, shared_bytes);
    }
    const int by_threads = 2048 / ((threads + 31) / 32 * 32), by_shared = int(164 * 1024 / (shared_bytes + 1024));
    *blocks = by_threads < by_shared ? by_threads : by_shared;
    if (*blocks > 32) *blocks = 32;
    return CUDA_SUCCESS;
}
