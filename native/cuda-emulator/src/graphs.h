// Graphs: nodes with the nodes that they follow.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "kernel_launch.h"

namespace emulator {

/// A launch, or something else that runs as a whole.
struct GraphNode {
    std::shared_ptr<KernelLaunch> launch;
    std::function<CUresult()> run;
    std::vector<int> after;
    int type = 0;  // CUgraphNodeType
};

constexpr int kNodeKernel = 0, kNodeCopy = 1, kNodeMemset = 2, kNodeEmpty = 5;

/// A graph under construction; origin is the stream that began.
struct Capture {
    std::vector<GraphNode> nodes;
    CUstream origin = nullptr;
    bool global = true;
    bool invalid = false;
};

}  // namespace emulator
