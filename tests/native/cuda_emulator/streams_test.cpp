// Work of different streams runs in any order that the program allows: what is not ordered by it shows.
#include <set>

#include "support.h"

namespace {

constexpr int kCount = 1000;

class StreamsTest : public EmulatorTest {
  protected:
    CUstream first = nullptr, second = nullptr;
    CUevent event = nullptr;

    void SetUp() override {
        EmulatorTest::SetUp();
        CU(cuStreamCreate(&first, CU_STREAM_NON_BLOCKING));
        CU(cuStreamCreate(&second, CU_STREAM_NON_BLOCKING));
        CU(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
    }
    void TearDown() override {
        lspEmulatorClearError();
        CU(cuStreamDestroy_v2(first));
        CU(cuStreamDestroy_v2(second));
        CU(cuEventDestroy_v2(event));
        EmulatorTest::TearDown();
    }

    void launch(CUstream stream, const char* name, const Buffer<float>& y, const Buffer<float>& x) {
        Parameters parameters(y.at(), x.at(), kCount);
        CU(cuLaunchKernel(function(name), 4, 1, 1, 256, 1, 1, 0, stream, nullptr, parameters.extra));
    }

    /// y = 2 (x + 1) by two streams, with x = 1; the results that 20 seeds give.
    std::set<float> results(bool with_event) {
        std::set<float> all;
        for (unsigned seed = 0; seed < 20; seed++) {
            lspEmulatorSetOrder(LSP_EMULATOR_RANDOM, seed);
            const Buffer<float> x(std::vector<float>(kCount, 1.0f)), y(std::vector<float>(kCount, 0.0f));
            launch(first, "test_increment", y, x);
            if (with_event) {
                EXPECT_EQ(CUDA_SUCCESS, cuEventRecord(event, first));
                EXPECT_EQ(CUDA_SUCCESS, cuStreamWaitEvent(second, event, 0));
            }
            launch(second, "test_double", y, y);
            EXPECT_EQ(CUDA_SUCCESS, cuCtxSynchronize());
            for (const float value : y.values()) all.insert(value);
        }
        return all;
    }
};

}  // namespace

TEST_F(StreamsTest, MissingEventIsFound) {
    EXPECT_EQ(std::set<float>{4}, results(true));
    EXPECT_EQ((std::set<float>{2, 4}), results(false));
}

TEST_F(StreamsTest, WorkOfOneStreamKeepsItsOrder) {
    for (unsigned seed = 0; seed < 10; seed++) {
        lspEmulatorSetOrder(LSP_EMULATOR_RANDOM, seed);
        const Buffer<float> x(std::vector<float>(kCount, 1.0f)), y(kCount);
        launch(first, "test_increment", y, x);
        launch(first, "test_double", y, y);
        launch(first, "test_increment", y, y);
        CU(cuStreamSynchronize(first));
        for (const float value : y.values()) ASSERT_EQ(5.0f, value);
    }
}

TEST_F(StreamsTest, NothingRunsBeforeSomebodyWaits) {
    const Buffer<float> x(std::vector<float>(kCount, 1.0f)), y(kCount);
    void* pinned;
    CU(cuMemAllocHost_v2(&pinned, kCount * 4));
    float* host = static_cast<float*>(pinned);
    host[7] = -1;
    launch(first, "test_increment", y, x);
    CU(cuMemcpyDtoHAsync_v2(host, y.at(), kCount * 4, first));
    CU(cuEventRecord(event, first));
    EXPECT_EQ(-1.0f, host[7]);
    CU(cuEventSynchronize(event));
    EXPECT_EQ(2.0f, host[7]);
    CU(cuMemFreeHost(pinned));
}

TEST_F(StreamsTest, PinnedSourceIsReadWhenTheCopyRuns) {
    void* pinned;
    CU(cuMemAllocHost_v2(&pinned, 4));
    float* host = static_cast<float*>(pinned);
    float pageable = 1;
    *host = 1;
    const Buffer<float> late(1), staged(1);
    CU(cuMemcpyHtoDAsync_v2(late.at(), host, 4, first));
    CU(cuMemcpyHtoDAsync_v2(staged.at(), &pageable, 4, first));
    *host = pageable = 2;
    CU(cuStreamSynchronize(first));
    EXPECT_EQ(2.0f, late.values()[0]);
    EXPECT_EQ(1.0f, staged.values()[0]);
    CU(cuMemFreeHost(pinned));
}

TEST_F(StreamsTest, DefaultStreamWaitsForBlockingStreamsOnly) {
    CUstream blocking;
    CU(cuStreamCreate(&blocking, 0));
    lspEmulatorSetOrder(LSP_EMULATOR_REVERSE, 0);
    const Buffer<float> x(std::vector<float>(kCount, 1.0f)), y(std::vector<float>(kCount, 0.0f));
    launch(blocking, "test_increment", y, x);
    launch(nullptr, "test_double", y, y);
    launch(blocking, "test_increment", y, y);
    CU(cuCtxSynchronize());
    EXPECT_EQ(5.0f, y.values()[0]);
    launch(first, "test_increment", y, x);
    launch(nullptr, "test_double", y, y);
    CU(cuCtxSynchronize());
    EXPECT_EQ(2.0f, y.values()[0]);
    CU(cuStreamDestroy_v2(blocking));
}

TEST_F(StreamsTest, WaitIsForTheRecordBeforeIt) {
    lspEmulatorSetOrder(LSP_EMULATOR_REVERSE, 0);
    const Buffer<float> x(std::vector<float>(kCount, 1.0f)), y(std::vector<float>(kCount, 0.0f));
    // Nothing is recorded yet: no wait.
    CU(cuStreamWaitEvent(second, event, 0));
    launch(first, "test_increment", y, x);
    CU(cuEventRecord(event, first));
    launch(second, "test_double", y, y);
    CU(cuCtxSynchronize());
    EXPECT_EQ(2.0f, y.values()[0]);
}

TEST_F(StreamsTest, QueriesMakeProgress) {
    const Buffer<float> x(std::vector<float>(kCount, 1.0f)), y(kCount);
    launch(first, "test_increment", y, x);
    CU(cuEventRecord(event, first));
    int queries = 0;
    while (cuEventQuery(event) == CUDA_ERROR_NOT_READY) ASSERT_LT(queries++, 10);
    EXPECT_EQ(CUDA_SUCCESS, cuStreamQuery(first));
}

TEST_F(StreamsTest, ElapsedTime) {
    CUevent start, end;
    CU(cuEventCreate(&start, 0));
    CU(cuEventCreate(&end, 0));
    float milliseconds = -1;
    EXPECT_EQ(CUDA_ERROR_INVALID_HANDLE, cuEventElapsedTime(&milliseconds, start, end));
    CU(cuEventRecord(start, first));
    const Buffer<float> x(std::vector<float>(kCount, 1.0f)), y(kCount);
    launch(first, "test_increment", y, x);
    CU(cuEventRecord(end, first));
    EXPECT_EQ(CUDA_ERROR_NOT_READY, cuEventElapsedTime(&milliseconds, start, end));
    CU(cuEventSynchronize(end));
    CU(cuEventElapsedTime(&milliseconds, start, end));
    EXPECT_GT(milliseconds, 0);
    CU(cuEventDestroy_v2(start));
    CU(cuEventDestroy_v2(end));
}

TEST_F(StreamsTest, SeedIsToldInErrors) {
    lspEmulatorSetOrder(LSP_EMULATOR_RANDOM, 1234);
    const Buffer<float> y(64);
    EXPECT_EQ(CUDA_ERROR_ILLEGAL_ADDRESS, run("bug_store_behind", 3, 64, 0, y.at(), 64, 9));
    expect_text({"order: random, seed 1234"});
}

TEST_F(StreamsTest, HandlesOfNothing) {
    const CUstream stream = reinterpret_cast<CUstream>(0x1000);
    EXPECT_EQ(CUDA_ERROR_INVALID_HANDLE, cuStreamSynchronize(stream));
    EXPECT_EQ(CUDA_ERROR_INVALID_HANDLE, cuStreamWaitEvent(stream, event, 0));
    EXPECT_EQ(CUDA_ERROR_INVALID_HANDLE, cuEventRecord(reinterpret_cast<CUevent>(0x1000), first));
    EXPECT_EQ(CUDA_ERROR_INVALID_HANDLE, cuStreamDestroy_v2(stream));
}

// Graphs.
namespace {

class GraphsTest : public StreamsTest {
  protected:
    /// y = 2 (x + 1) on `first`, z = y + 1 on `second` behind it, joined again.
    CUgraph capture(const Buffer<float>& x, const Buffer<float>& y, const Buffer<float>& z, bool wait, bool join) {
        EXPECT_EQ(CUDA_SUCCESS, cuStreamBeginCapture_v2(first, 0));
        CUevent fork;
        EXPECT_EQ(CUDA_SUCCESS, cuEventCreate(&fork, 0));
        if (!wait) {
            EXPECT_EQ(CUDA_SUCCESS, cuEventRecord(fork, first));
        }
        launch(first, "test_increment", y, x);
        if (wait) {
            EXPECT_EQ(CUDA_SUCCESS, cuEventRecord(fork, first));
        }
        EXPECT_EQ(CUDA_SUCCESS, cuStreamWaitEvent(second, fork, 0));
        launch(second, "test_double", z, y);
        if (join) {
            EXPECT_EQ(CUDA_SUCCESS, cuEventRecord(event, second));
            EXPECT_EQ(CUDA_SUCCESS, cuStreamWaitEvent(first, event, 0));
        }
        CUgraph graph = nullptr;
        EXPECT_EQ(join ? CUDA_SUCCESS : CUDA_ERROR_STREAM_CAPTURE_UNJOINED, cuStreamEndCapture(first, &graph));
        EXPECT_EQ(CUDA_SUCCESS, cuEventDestroy_v2(fork));
        return graph;
    }

    std::set<float> results(bool wait) {
        const Buffer<float> x(std::vector<float>(kCount, 1.0f)), y(kCount), z(kCount);
        const CUgraph graph = capture(x, y, z, wait, true);
        CUgraphExec executable;
        EXPECT_EQ(CUDA_SUCCESS, cuGraphInstantiateWithFlags(&executable, graph, 0));
        EXPECT_EQ(CUDA_SUCCESS, cuGraphDestroy(graph));
        std::set<float> all;
        for (unsigned seed = 0; seed < 20; seed++) {
            lspEmulatorSetOrder(LSP_EMULATOR_RANDOM, seed);
            EXPECT_EQ(CUDA_SUCCESS, cuMemsetD8Async(y.at(), 0, kCount * 4, first));
            EXPECT_EQ(CUDA_SUCCESS, cuGraphLaunch(executable, first));
            EXPECT_EQ(CUDA_SUCCESS, cuStreamSynchronize(first));
            for (const float value : z.values()) all.insert(value);
        }
        EXPECT_EQ(CUDA_SUCCESS, cuGraphExecDestroy(executable));
        return all;
    }
};

}  // namespace

TEST_F(GraphsTest, NodesRunInAnyLegalOrder) {
    EXPECT_EQ(std::set<float>{4}, results(true));
    EXPECT_EQ((std::set<float>{0, 4}), results(false));
}

TEST_F(GraphsTest, UnjoinedStreamIsAnError) {
    const Buffer<float> x(kCount), y(kCount), z(kCount);
    EXPECT_EQ(nullptr, capture(x, y, z, true, false));
    int status = -1;
    CU(cuStreamIsCapturing(second, &status));
    EXPECT_EQ(0, status);
}

TEST_F(GraphsTest, UpdatedParametersAreForLaterReplays) {
    const Buffer<float> x(std::vector<float>(kCount, 1.0f)), y(std::vector<float>(kCount, 0.0f)), z(kCount);
    CU(cuStreamBeginCapture_v2(first, 0));
    launch(first, "test_increment", y, x);
    launch(first, "test_double", z, y);
    CUgraph graph;
    CU(cuStreamEndCapture(first, &graph));
    EXPECT_EQ(0.0f, y.values()[0]);
    CUgraphExec executable;
    CU(cuGraphInstantiateWithFlags(&executable, graph, 0));
    size_t count = 0;
    CU(cuGraphGetNodes(graph, nullptr, &count));
    ASSERT_EQ(2u, count);
    CUgraphNode nodes[2];
    CU(cuGraphGetNodes(graph, nodes, &count));
    int type = -1;
    CU(cuGraphNodeGetType(nodes[1], &type));
    EXPECT_EQ(0, type);
    CUDA_KERNEL_NODE_PARAMS node;
    CU(cuGraphKernelNodeGetParams(nodes[1], &node));
    EXPECT_EQ(function("test_double"), node.func);
    EXPECT_EQ(4u, node.gridDimX);
    EXPECT_EQ(256u, node.blockDimX);
    EXPECT_EQ(y.at(), *static_cast<CUdeviceptr*>(node.kernelParams[1]));
    EXPECT_EQ(kCount, *static_cast<int*>(node.kernelParams[2]));

    CU(cuGraphLaunch(executable, first));
    Parameters fewer(z.at(), y.at(), 10);
    node.kernelParams = nullptr;
    node.extra = fewer.extra;
    CU(cuGraphExecKernelNodeSetParams(executable, nodes[1], &node));
    CU(cuStreamSynchronize(first));
    EXPECT_EQ(4.0f, z.values()[500]);
    CU(cuMemsetD8_v2(z.at(), 0, kCount * 4));
    CU(cuGraphLaunch(executable, first));
    CU(cuStreamSynchronize(first));
    EXPECT_EQ(4.0f, z.values()[9]);
    EXPECT_EQ(0.0f, z.values()[10]);
    Parameters wrong(z.at());
    node.extra = wrong.extra;
    EXPECT_EQ(CUDA_ERROR_INVALID_VALUE, cuGraphExecKernelNodeSetParams(executable, nodes[1], &node));
    CU(cuGraphExecDestroy(executable));
    CU(cuGraphDestroy(graph));
}

TEST_F(GraphsTest, WaitingInACaptureSpoilsIt) {
    CU(cuStreamBeginCapture_v2(first, 0));
    EXPECT_EQ(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuStreamSynchronize(first));
    int status = -1;
    CU(cuStreamIsCapturing(first, &status));
    EXPECT_EQ(2, status);
    CUgraph graph;
    EXPECT_EQ(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(first, &graph));
    EXPECT_EQ(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuStreamBeginCapture_v2(nullptr, 0));
}

TEST_F(GraphsTest, CopiesAndFillsAreNodes) {
    void* pinned;
    CU(cuMemAllocHost_v2(&pinned, 4));
    float* host = static_cast<float*>(pinned);
    const Buffer<float> x(1), y(1);
    CU(cuStreamBeginCapture_v2(first, 0));
    CU(cuMemcpyHtoDAsync_v2(x.at(), host, 4, first));
    CU(cuMemcpyDtoDAsync_v2(y.at(), x.at(), 4, first));
    CU(cuMemsetD8Async(x.at(), 0, 4, first));
    CUgraph graph;
    CU(cuStreamEndCapture(first, &graph));
    CUgraphExec executable;
    CU(cuGraphInstantiate_v2(&executable, graph, nullptr, nullptr, 0));
    for (const float value : {3.0f, 5.0f}) {
        *host = value;
        CU(cuGraphLaunch(executable, first));
        CU(cuStreamSynchronize(first));
        EXPECT_EQ(0.0f, x.values()[0]);
        EXPECT_EQ(value, y.values()[0]);
    }
    CU(cuGraphExecDestroy(executable));
    CU(cuGraphDestroy(graph));
    CU(cuMemFreeHost(pinned));
}
