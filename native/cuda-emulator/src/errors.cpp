#include "errors.h"

#include <cstdarg>
#include <cstdio>
#include <mutex>

namespace emulator {
namespace {

std::mutex guard;
std::string last_text, sticky_text;
CUresult sticky = CUDA_SUCCESS;

std::string formatted(const char* format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    const int length = vsnprintf(nullptr, 0, format, again);
    va_end(again);
    std::string text(size_t(length), '\0');
    vsnprintf(text.data(), text.size() + 1, format, arguments);
    return text;
}

struct Name {
    CUresult code;
    const char *name, *text;
};
constexpr Name kNames[] = {
    {CUDA_SUCCESS, "CUDA_SUCCESS", "no error"},
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {CUDA_ERROR_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {CUDA_ERROR_INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {CUDA_ERROR_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {CUDA_ERROR_NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES",
     "too many resources requested for launch"},
    {CUDA_ERROR_MISALIGNED_ADDRESS, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
    {CUDA_ERROR_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {CUDA_ERROR_NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
     "operation not permitted when stream is capturing"},
    {CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
     "operation failed due to a previous error during capture"},
    {CUDA_ERROR_STREAM_CAPTURE_UNJOINED, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED", "capturing stream has unjoined work"},
};

const Name* find(CUresult code) {
    for (const Name& name : kNames) {
        if (name.code == code) return &name;
    }
    return nullptr;
}

}  // namespace

std::string text_of(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    std::string text = formatted(format, arguments);
    va_end(arguments);
    return text;
}

CUresult report(CUresult code, const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    std::string text = formatted(format, arguments);
    va_end(arguments);
    const std::lock_guard<std::mutex> lock(guard);
    last_text = std::move(text);
    return code;
}

CUresult sticky_error() {
    const std::lock_guard<std::mutex> lock(guard);
    if (sticky != CUDA_SUCCESS) last_text = sticky_text;
    return sticky;
}

void set_sticky_error(CUresult code) {
    const std::lock_guard<std::mutex> lock(guard);
    sticky = code;
    sticky_text = last_text;
}

}  // namespace emulator

using emulator::find;

CUresult cuGetErrorName(CUresult error, const char** text) {
    const emulator::Name* name = find(error);
    *text = name == nullptr ? nullptr : name->name;
    return name == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

CUresult cuGetErrorString(CUresult error, const char** text) {
    const emulator::Name* name = find(error);
    *text = name == nullptr ? nullptr : name->text;
    return name == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

const char* lspEmulatorLastError(void) {
    static thread_local std::string copy;
    const std::lock_guard<std::mutex> lock(emulator::guard);
    copy = emulator::last_text;
    return copy.c_str();
}

void lspEmulatorClearError(void) {
    const std::lock_guard<std::mutex> lock(emulator::guard);
    emulator::last_text.clear();
    emulator::sticky = CUDA_SUCCESS;
}
