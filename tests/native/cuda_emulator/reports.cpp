#include "reports.h"

#if defined(__SANITIZE_THREAD__)
namespace {

int reports = 0;

}  // namespace

extern "C" {
// The sanitizer calls it for every report, with its locks held: what it does must not be looked at.
__attribute__((visibility("default"), no_sanitize_thread)) void __tsan_on_report(void*) {
    __atomic_fetch_add(&reports, 1, __ATOMIC_RELAXED);
}
// Every race is reported, however often it was before; tests tell which were expected.
__attribute__((visibility("default"))) const char* __tsan_default_options() {
    return "suppress_equal_stacks=0:suppress_equal_addresses=0:exitcode=0";
}
}

__attribute__((no_sanitize_thread)) int thread_sanitizer_reports() {
    return __atomic_load_n(&reports, __ATOMIC_RELAXED);
}
#else
int thread_sanitizer_reports() { return 0; }
#endif
