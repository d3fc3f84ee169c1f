// Streams and events as the rest of the emulator sees them.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "graphs.h"
#include "work.h"

struct CUstream_st {
    bool non_blocking = false;
    emulator::OperationPtr last;
    /// What the next operation waits for besides `last`.
    std::vector<emulator::OperationPtr> also;
    /// While the stream is captured: the graph, and the nodes that the next one follows.
    std::shared_ptr<emulator::Capture> capture;
    std::vector<int> frontier;
};

namespace emulator {

/// The stream behind a handle: 0, 1 and 2 are the default stream. Null if there is none.
CUstream_st* stream_of(CUstream handle);

/// Queues work, or adds a node to the graph that is captured.
CUresult enqueue(CUstream handle, GraphNode node);

/// Calls that wait or allocate are not allowed while a stream is captured in the mode "global": spoils the captures and
/// reports the error. CUDA_SUCCESS if there is none.
CUresult refuse_in_capture(const char* call);

/// Takes all streams out of the capture.
void end_capture(const std::shared_ptr<Capture>& capture);

/// Queues an operation behind all that the stream holds.
OperationPtr enqueue_operation(CUstream_st& stream, std::function<CUresult()> run);

}  // namespace emulator
