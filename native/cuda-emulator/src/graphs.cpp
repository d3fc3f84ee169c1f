// Capture of streams into graphs, and their replay: every node becomes an operation that waits for those it follows.
#include "graphs.h"

#include <cstring>
#include <deque>
#include <set>

#include "errors.h"
#include "modules.h"
#include "streams.h"

struct CUgraphNode_st {
    CUgraph graph;
    int index;
};

struct CUgraph_st {
    std::vector<emulator::GraphNode> nodes;
    std::deque<CUgraphNode_st> handles;  // their addresses stay
};

struct CUgraphExec_st {
    // Of its own: the graph may be destroyed before, and updates of parameters are for this one only.
    std::vector<emulator::GraphNode> nodes;
};

using namespace emulator;
using Lock = std::lock_guard<std::recursive_mutex>;

namespace {

std::set<CUgraph_st*> graphs;
std::set<CUgraphExec_st*> executables;
std::set<const CUgraphNode_st*> handles;

}  // namespace

CUresult cuStreamBeginCapture_v2(CUstream handle, int) {
    const Lock lock(api_lock());
    CUstream_st* stream = stream_of(handle);
    if (stream == nullptr || stream == stream_of(nullptr)) {
        return report(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "cuStreamBeginCapture: not a stream of one's own");
    }
    if (stream->capture != nullptr) {
        return report(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "cuStreamBeginCapture: the stream is being captured");
    }
    stream->capture = std::make_shared<Capture>();
    stream->capture->origin = handle;
    stream->frontier.clear();
    return sticky_error();
}

CUresult cuStreamIsCapturing(CUstream handle, int* status) {
    const Lock lock(api_lock());
    CUstream_st* stream = stream_of(handle);
    if (stream == nullptr) return report(CUDA_ERROR_INVALID_HANDLE, "cuStreamIsCapturing: no such stream");
    *status = stream->capture == nullptr ? 0 : stream->capture->invalid ? 2 : 1;
    return sticky_error();
}

CUresult cuStreamEndCapture(CUstream handle, CUgraph* graph) {
    const Lock lock(api_lock());
    CUstream_st* stream = stream_of(handle);
    if (stream == nullptr || stream->capture == nullptr || stream->capture->origin != handle) {
        return report(CUDA_ERROR_INVALID_VALUE, "cuStreamEndCapture: this stream began no capture");
    }
    const std::shared_ptr<Capture> capture = stream->capture;
    // Every node must lead to the stream that began; else another stream was left unjoined.
    std::vector<bool> joined(capture->nodes.size(), false);
    for (const int node : stream->frontier) joined[size_t(node)] = true;
    for (size_t i = capture->nodes.size(); i-- > 0;) {
        if (!joined[i]) continue;
        for (const int before : capture->nodes[i].after) joined[size_t(before)] = true;
    }
    end_capture(capture);
    *graph = nullptr;
    if (capture->invalid) {
        return report(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "cuStreamEndCapture: a call before was not allowed");
    }
    for (const bool one : joined) {
        if (!one) {
            return report(CUDA_ERROR_STREAM_CAPTURE_UNJOINED,
                          "cuStreamEndCapture: work on another stream is not waited for");
        }
    }
    auto* result = new CUgraph_st;
    result->nodes = std::move(capture->nodes);
    for (size_t i = 0; i < result->nodes.size(); i++) result->handles.push_back({result, int(i)});
    for (const CUgraphNode_st& node : result->handles) handles.insert(&node);
    graphs.insert(result);
    *graph = result;
    return sticky_error();
}

CUresult cuGraphCreate(CUgraph* graph, unsigned) {
    const Lock lock(api_lock());
    *graph = new CUgraph_st;
    graphs.insert(*graph);
    return sticky_error();
}

CUresult cuGraphAddKernelNode(CUgraphNode* result, CUgraph graph, const CUgraphNode* after, size_t count,
                              const CUDA_KERNEL_NODE_PARAMS* parameters) {
    const Lock lock(api_lock());
    if (graphs.count(graph) == 0) return report(CUDA_ERROR_INVALID_VALUE, "cuGraphAddKernelNode: no such graph");
    GraphNode node;
    node.type = kNodeKernel;
    for (size_t i = 0; i < count; i++) {
        if (handles.count(after[i]) == 0 || after[i]->graph != graph) {
            return report(CUDA_ERROR_INVALID_VALUE, "cuGraphAddKernelNode: what comes before is not of this graph");
        }
        node.after.push_back(after[i]->index);
    }
    const CUDA_KERNEL_NODE_PARAMS& p = *parameters;
    node.launch = std::make_shared<KernelLaunch>();
    const CUresult error =
        make_launch(p.func, {p.gridDimX, p.gridDimY, p.gridDimZ}, {p.blockDimX, p.blockDimY, p.blockDimZ},
                    p.sharedMemBytes, p.kernelParams, p.extra, *node.launch);
    if (error != CUDA_SUCCESS) return error;
    graph->handles.push_back({graph, int(graph->nodes.size())});
    graph->nodes.push_back(std::move(node));
    handles.insert(&graph->handles.back());
    *result = &graph->handles.back();
    return sticky_error();
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec* executable, CUgraph graph, unsigned long long) {
    const Lock lock(api_lock());
    if (graphs.count(graph) == 0) return report(CUDA_ERROR_INVALID_VALUE, "cuGraphInstantiate: no such graph");
    *executable = new CUgraphExec_st{graph->nodes};
    executables.insert(*executable);
    return sticky_error();
}

CUresult cuGraphInstantiate_v2(CUgraphExec* executable, CUgraph graph, CUgraphNode* error_node, char* log,
                               size_t log_bytes) {
    if (error_node != nullptr) *error_node = nullptr;
    if (log != nullptr && log_bytes > 0) *log = '\0';
    return cuGraphInstantiateWithFlags(executable, graph, 0);
}

CUresult cuGraphUpload(CUgraphExec executable, CUstream) {
    const Lock lock(api_lock());
    return executables.count(executable) == 0 ? report(CUDA_ERROR_INVALID_VALUE, "cuGraphUpload: no such graph")
                                              : sticky_error();
}

CUresult cuGraphLaunch(CUgraphExec executable, CUstream handle) {
    const Lock lock(api_lock());
    if (executables.count(executable) == 0) return report(CUDA_ERROR_INVALID_VALUE, "cuGraphLaunch: no such graph");
    CUstream_st* stream = stream_of(handle);
    if (stream == nullptr) return report(CUDA_ERROR_INVALID_HANDLE, "cuGraphLaunch: no such stream");
    if (stream->capture != nullptr) {
        stream->capture->invalid = true;
        return report(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "cuGraphLaunch: graphs within graphs are not emulated");
    }
    if (const CUresult error = sticky_error()) return error;
    const OperationPtr start = enqueue_operation(*stream, nullptr);
    std::vector<OperationPtr> operations;
    for (const GraphNode& node : executable->nodes) {
        std::vector<OperationPtr> after{start};
        for (const int before : node.after) after.push_back(operations[size_t(before)]);
        // The launch's arguments are those of now: a later update is for later replays.
        operations.push_back(node.launch != nullptr
                                 ? submit([launch = node.launch] { return run_launch(*launch); }, after)
                                 : submit(node.run, after));
    }
    stream->also = std::move(operations);
    enqueue_operation(*stream, nullptr);
    return sticky_error();
}

CUresult cuGraphGetNodes(CUgraph graph, CUgraphNode* nodes, size_t* count) {
    const Lock lock(api_lock());
    if (graphs.count(graph) == 0) return report(CUDA_ERROR_INVALID_VALUE, "cuGraphGetNodes: no such graph");
    if (nodes == nullptr) {
        *count = graph->nodes.size();
        return sticky_error();
    }
    for (size_t i = 0; i < *count; i++) nodes[i] = i < graph->handles.size() ? &graph->handles[i] : nullptr;
    if (*count > graph->handles.size()) *count = graph->handles.size();
    return sticky_error();
}

CUresult cuGraphNodeGetType(CUgraphNode node, int* type) {
    const Lock lock(api_lock());
    if (handles.count(node) == 0) return report(CUDA_ERROR_INVALID_VALUE, "cuGraphNodeGetType: no such node");
    *type = node->graph->nodes[size_t(node->index)].type;
    return sticky_error();
}

CUresult cuGraphKernelNodeGetParams(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS* parameters) {
    const Lock lock(api_lock());
    if (handles.count(node) == 0 || node->graph->nodes[size_t(node->index)].launch == nullptr) {
        return report(CUDA_ERROR_INVALID_VALUE, "cuGraphKernelNodeGetParams: no kernel node");
    }
    KernelLaunch& launch = *node->graph->nodes[size_t(node->index)].launch;
    parameters->func = function_of(launch.kernel);
    parameters->gridDimX = launch.grid[0];
    parameters->gridDimY = launch.grid[1];
    parameters->gridDimZ = launch.grid[2];
    parameters->blockDimX = launch.threads;
    parameters->blockDimY = parameters->blockDimZ = 1;
    parameters->sharedMemBytes = launch.shared_bytes;
    // Pointers into the node's own block, valid as long as the graph.
    launch.pointers.clear();
    for (int i = 0; i < launch.kernel->count; i++) {
        launch.pointers.push_back(launch.parameters.data() + launch.kernel->parameters[i].offset);
    }
    parameters->kernelParams = launch.pointers.data();
    parameters->extra = nullptr;
    return sticky_error();
}

CUresult cuGraphKernelNodeGetParams_v2(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS* parameters) {
    // The second form has a kernel handle and a context behind it.
    const CUresult result = cuGraphKernelNodeGetParams(node, parameters);
    if (result == CUDA_SUCCESS) memset(parameters + 1, 0, 2 * sizeof(void*));
    return result;
}

CUresult cuGraphExecKernelNodeSetParams(CUgraphExec executable, CUgraphNode node,
                                        const CUDA_KERNEL_NODE_PARAMS* parameters) {
    const Lock lock(api_lock());
    if (executables.count(executable) == 0 || handles.count(node) == 0 ||
        size_t(node->index) >= executable->nodes.size() || executable->nodes[size_t(node->index)].launch == nullptr) {
        return report(CUDA_ERROR_INVALID_VALUE, "cuGraphExecKernelNodeSetParams: no kernel node of this graph");
    }
    const CUDA_KERNEL_NODE_PARAMS& p = *parameters;
    auto launch = std::make_shared<KernelLaunch>();
    const CUresult result =
        make_launch(p.func, {p.gridDimX, p.gridDimY, p.gridDimZ}, {p.blockDimX, p.blockDimY, p.blockDimZ},
                    p.sharedMemBytes, p.kernelParams, p.extra, *launch);
    if (result != CUDA_SUCCESS) return result;
    executable->nodes[size_t(node->index)].launch = std::move(launch);
    return sticky_error();
}

CUresult cuGraphExecKernelNodeSetParams_v2(CUgraphExec executable, CUgraphNode node,
                                           const CUDA_KERNEL_NODE_PARAMS* parameters) {
    return cuGraphExecKernelNodeSetParams(executable, node, parameters);
}

CUresult cuGraphDestroy(CUgraph graph) {
    const Lock lock(api_lock());
    if (graphs.erase(graph) == 0) return report(CUDA_ERROR_INVALID_VALUE, "cuGraphDestroy: no such graph");
    for (const CUgraphNode_st& node : graph->handles) handles.erase(&node);
    delete graph;
    return sticky_error();
}

CUresult cuGraphExecDestroy(CUgraphExec executable) {
    const Lock lock(api_lock());
    if (executables.erase(executable) == 0) {
        return report(CUDA_ERROR_INVALID_VALUE, "cuGraphExecDestroy: no such graph");
    }
    delete executable;
    return sticky_error();
}
