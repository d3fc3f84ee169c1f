#include "streams.h"

#include <set>

#include "errors.h"

struct CUevent_st {
    emulator::OperationPtr operation;
    /// Recorded while capturing: the graph and the nodes of the stream at that time.
    std::weak_ptr<emulator::Capture> capture;
    std::vector<int> nodes;
    bool timing = true;
};

namespace emulator {
namespace {

CUstream_st default_stream;
std::set<CUstream_st*> streams;
std::set<CUevent_st*> events;

std::vector<OperationPtr> dependencies(const CUstream_st& stream) {
    std::vector<OperationPtr> after = stream.also;
    after.push_back(stream.last);
    if (&stream == &default_stream) {
        // The default stream waits for every stream that is not "non-blocking", and they for it.
        for (const CUstream_st* other : streams) {
            if (!other->non_blocking) after.push_back(other->last);
        }
    } else if (!stream.non_blocking) {
        after.push_back(default_stream.last);
    }
    return after;
}

}  // namespace

CUstream_st* stream_of(CUstream handle) {
    if (reinterpret_cast<uintptr_t>(handle) <= 2) return &default_stream;
    return streams.count(handle) != 0 ? handle : nullptr;
}

OperationPtr enqueue_operation(CUstream_st& stream, std::function<CUresult()> run) {
    stream.last = submit(std::move(run), dependencies(stream));
    stream.also.clear();
    return stream.last;
}

CUresult enqueue(CUstream handle, GraphNode node) {
    CUstream_st* stream = stream_of(handle);
    if (stream == nullptr) return report(CUDA_ERROR_INVALID_HANDLE, "no such stream");
    if (stream->capture != nullptr) {
        node.after = stream->frontier;
        stream->capture->nodes.push_back(std::move(node));
        stream->frontier = {int(stream->capture->nodes.size()) - 1};
        return CUDA_SUCCESS;
    }
    if (node.launch != nullptr) {
        enqueue_operation(*stream, [launch = node.launch] { return run_launch(*launch); });
    } else {
        enqueue_operation(*stream, std::move(node.run));
    }
    return sticky_error();
}

CUresult refuse_in_capture(const char* call) {
    CUresult result = CUDA_SUCCESS;
    for (const CUstream_st* stream : streams) {
        if (stream->capture == nullptr || !stream->capture->global) continue;
        stream->capture->invalid = true;
        result = report(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "%s: a stream is being captured", call);
    }
    return result;
}

void end_capture(const std::shared_ptr<Capture>& capture) {
    for (CUstream_st* stream : streams) {
        if (stream->capture != capture) continue;
        stream->capture = nullptr;
        stream->frontier.clear();
    }
}

}  // namespace emulator

using namespace emulator;
using Lock = std::lock_guard<std::recursive_mutex>;

namespace {

CUresult no_stream(const char* call) { return report(CUDA_ERROR_INVALID_HANDLE, "%s: no such stream", call); }
CUresult no_event(const char* call) { return report(CUDA_ERROR_INVALID_HANDLE, "%s: no such event", call); }
CUresult captured(CUstream_st& stream, const char* call) {
    stream.capture->invalid = true;
    return report(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "%s: the stream is being captured", call);
}

}  // namespace

CUresult cuStreamCreate(CUstream* stream, unsigned flags) {
    const Lock lock(api_lock());
    if (stream == nullptr) return report(CUDA_ERROR_INVALID_VALUE, "cuStreamCreate(null)");
    *stream = new CUstream_st;
    (*stream)->non_blocking = (flags & CU_STREAM_NON_BLOCKING) != 0;
    streams.insert(*stream);
    return sticky_error();
}

CUresult cuStreamCreateWithPriority(CUstream* stream, unsigned flags, int) { return cuStreamCreate(stream, flags); }

CUresult cuStreamDestroy_v2(CUstream handle) {
    const Lock lock(api_lock());
    if (streams.count(handle) == 0) return no_stream("cuStreamDestroy");
    // Its work still runs; whoever waits for all waits for it.
    if (!handle->non_blocking) default_stream.also.push_back(handle->last);
    streams.erase(handle);
    delete handle;
    return sticky_error();
}

CUresult cuStreamSynchronize(CUstream handle) {
    const Lock lock(api_lock());
    CUstream_st* stream = stream_of(handle);
    if (stream == nullptr) return no_stream("cuStreamSynchronize");
    if (stream->capture != nullptr) return captured(*stream, "cuStreamSynchronize");
    for (const OperationPtr& before : dependencies(*stream)) finish(before);
    return sticky_error();
}

CUresult cuStreamQuery(CUstream handle) {
    const Lock lock(api_lock());
    CUstream_st* stream = stream_of(handle);
    if (stream == nullptr) return no_stream("cuStreamQuery");
    if (stream->capture != nullptr) return captured(*stream, "cuStreamQuery");
    make_progress();
    for (const OperationPtr& before : dependencies(*stream)) {
        if (before != nullptr && !before->done) return CUDA_ERROR_NOT_READY;
    }
    return sticky_error();
}

CUresult cuStreamWaitEvent(CUstream handle, CUevent event, unsigned) {
    const Lock lock(api_lock());
    CUstream_st* stream = stream_of(handle);
    if (stream == nullptr) return no_stream("cuStreamWaitEvent");
    if (events.count(event) == 0) return no_event("cuStreamWaitEvent");
    if (const std::shared_ptr<Capture> capture = event->capture.lock()) {
        if (stream->capture != nullptr && stream->capture != capture) {
            return captured(*stream, "cuStreamWaitEvent for an event of another capture");
        }
        stream->capture = capture;
        stream->frontier.insert(stream->frontier.end(), event->nodes.begin(), event->nodes.end());
        return CUDA_SUCCESS;
    }
    if (stream->capture != nullptr) return captured(*stream, "cuStreamWaitEvent for an event outside the capture");
    // The work behind it waits for what is recorded now, not for what may be recorded later.
    if (event->operation != nullptr) stream->also.push_back(event->operation);
    return sticky_error();
}

CUresult cuEventCreate(CUevent* event, unsigned flags) {
    const Lock lock(api_lock());
    if (event == nullptr) return report(CUDA_ERROR_INVALID_VALUE, "cuEventCreate(null)");
    *event = new CUevent_st;
    (*event)->timing = (flags & CU_EVENT_DISABLE_TIMING) == 0;
    events.insert(*event);
    return sticky_error();
}

CUresult cuEventDestroy_v2(CUevent event) {
    const Lock lock(api_lock());
    if (events.erase(event) == 0) return no_event("cuEventDestroy");
    delete event;
    return sticky_error();
}

CUresult cuEventRecord(CUevent event, CUstream handle) {
    const Lock lock(api_lock());
    CUstream_st* stream = stream_of(handle);
    if (stream == nullptr) return no_stream("cuEventRecord");
    if (events.count(event) == 0) return no_event("cuEventRecord");
    if (stream->capture != nullptr) {
        event->capture = stream->capture;
        event->nodes = stream->frontier;
        return CUDA_SUCCESS;
    }
    event->capture.reset();
    event->operation = enqueue_operation(*stream, [] { return CUDA_SUCCESS; });
    return sticky_error();
}

CUresult cuEventSynchronize(CUevent event) {
    const Lock lock(api_lock());
    if (events.count(event) == 0) return no_event("cuEventSynchronize");
    return finish(event->operation);
}

CUresult cuEventQuery(CUevent event) {
    const Lock lock(api_lock());
    if (events.count(event) == 0) return no_event("cuEventQuery");
    if (event->operation != nullptr && !event->operation->done) {
        // Who asks in a loop must get there.
        make_progress();
        if (!event->operation->done) return CUDA_ERROR_NOT_READY;
    }
    return sticky_error();
}

CUresult cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end) {
    const Lock lock(api_lock());
    if (events.count(start) == 0 || events.count(end) == 0) return no_event("cuEventElapsedTime");
    if (!start->timing || !end->timing || start->operation == nullptr || end->operation == nullptr) {
        return report(CUDA_ERROR_INVALID_HANDLE, "cuEventElapsedTime: an event without timing or not recorded");
    }
    if (!start->operation->done || !end->operation->done) return CUDA_ERROR_NOT_READY;
    *milliseconds = float((end->operation->finished_at - start->operation->finished_at) * 1e3);
    return sticky_error();
}
