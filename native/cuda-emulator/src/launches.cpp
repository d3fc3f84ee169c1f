#include "errors.h"
#include "modules.h"
#include "streams.h"

using namespace emulator;

CUresult cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                        unsigned block_y, unsigned block_z, unsigned shared_bytes, CUstream stream, void** parameters,
                        void** extra) {
    const std::lock_guard<std::recursive_mutex> lock(api_lock());
    GraphNode node;
    node.type = kNodeKernel;
    node.launch = std::make_shared<KernelLaunch>();
    const CUresult result = make_launch(function, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared_bytes,
                                        parameters, extra, *node.launch);
    if (result != CUDA_SUCCESS) return result;
    if (const CUresult error = sticky_error()) return error;
    return enqueue(stream, std::move(node));
}
