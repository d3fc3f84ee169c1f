// Submitted work: operations with the operations that must be done before them. Nothing runs until somebody waits; then
// what may run does, in the order that was set.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "emulator/driver.h"

namespace emulator {

struct Operation {
    std::function<CUresult()> run;
    std::vector<std::shared_ptr<Operation>> followers;
    uint64_t number = 0;
    int missing = 0;  // operations that it waits for
    bool submitted = false, done = false;
    double finished_at = 0;  // seconds
};
using OperationPtr = std::shared_ptr<Operation>;

/// Every call of the API that touches streams, events or graphs holds it.
std::recursive_mutex& api_lock();

/// The operation waits for all of `after` (null and finished ones are passed over).
OperationPtr submit(std::function<CUresult()> run, const std::vector<OperationPtr>& after);

/// Runs work until the operation is done. The error of a failed launch, if there was one.
CUresult finish(const OperationPtr& operation);
CUresult finish_all();
/// Runs one piece of work that may run; false if there is none.
bool make_progress();
/// Drops what was not run.
void abandon_all();

}  // namespace emulator
