// The kernels of kernels/ that do most of the work, on small shapes without odd sizes: every place in their code that
// carries more than a tenth of what a launch moves reads full sectors, and none meets a bank twice; and in builds
// with a sanitizer it has nothing to say. What they compute is checked from C#, against the reference.
#include <algorithm>

#include "reports.h"
#include "support.h"

namespace {

const char* const kWeights[] = {"f16", "int8", "int4"};
constexpr int kBits[] = {16, 8, 4};
constexpr int kGroup = 64;
constexpr int kMaxDynamicShared = 8;  // CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
constexpr float kNoEpsilon = 0;
constexpr double kSmallShare = 0.1;

class ModelKernelsTest : public EmulatorTest {
  protected:
    // f16 numbers that are no NaN, or whatever else the bits mean.
    struct Zeros : Buffer<unsigned char> {
        explicit Zeros(size_t bytes) : Buffer<unsigned char>(std::vector<unsigned char>(bytes, 0)) {}
    };

    /// Launches and checks what the places in the code moved.
    template <typename... T>
    void check(const std::string& name, std::vector<unsigned> grid, unsigned threads, unsigned shared_bytes,
               T... values) {
        SCOPED_TRACE(name);
        CU(cuFuncSetAttribute(function(name.c_str()), kMaxDynamicShared, int(shared_bytes)));
        const int reports = thread_sanitizer_reports();
        lspEmulatorCountBegin(0);
        CU(run_grid(name.c_str(), grid, threads, shared_bytes, values...));
        LspEmulatorCount count;
        ASSERT_EQ(1, lspEmulatorCountEnd(&count, 1));
        EXPECT_EQ(reports, thread_sanitizer_reports());
        std::vector<LspEmulatorSite> sites(size_t(lspEmulatorCountSites(nullptr, 0)));
        lspEmulatorCountSites(sites.data(), int(sites.size()));
        ASSERT_LT(2u, sites.size());
        for (const LspEmulatorSite& site : sites) {
            if (site.access >= 4) continue;
            if (site.access < 2) {
                // What is read once, as the rows of a query, need not be a main loop's.
                if (double(site.units) < kSmallShare * double(count.load_sectors + count.store_sectors)) continue;
                EXPECT_GE(double(site.least_units), 0.95 * double(site.units))
                    << site.place << ": " << site.lane_bytes << " bytes, access " << site.access;
            } else {
                EXPECT_EQ(site.least_units, site.units)
                    << site.place << ": " << site.lane_bytes << " bytes, access " << site.access;
            }
        }
    }
};

}  // namespace

TEST_F(ModelKernelsTest, Streaming) {
    const int n = 64, k = 2048;
    const CUdeviceptr none = 0;
    const struct {
        const char* name;
        int outputs, m;
    } forms[] = {{"gemv", 16, 1}, {"gemv2", 32, 2}, {"gemv16", 32, 16}, {"gemv32", 32, 32}};
    for (const auto& form : forms) {
        for (int i = 0; i < 3; i++) {
            const Zeros packed(size_t(n) * k * size_t(kBits[i]) / 8), scales(size_t(n / 16) * (k / kGroup) * 32);
            const Zeros x(size_t(form.m) * k * 2), y(size_t(form.m) * n * 4);
            const int chunk = form.m <= 2 ? 2048 : 512;
            const unsigned shared = std::max(128u + unsigned(form.m * (chunk + 8) * 2), 8u * form.outputs * 44u);
            check(std::string(form.name) + "_" + kWeights[i], {unsigned(n / form.outputs), 1, 1}, 256, shared,
                  packed.at(), i == 0 ? none : scales.at(), x.at(), none, none, none, y.at(), 1, k, 0, 0, 0, 0, n,
                  form.m, n, k, i == 0 ? 0 : kGroup, 0, 0, chunk, kNoEpsilon);
        }
    }
}

TEST_F(ModelKernelsTest, Tiled) {
    const int m = 128, n = 128, k = 256;
    const CUdeviceptr none = 0;
    const struct {
        int outputs, tokens, threads;
    } shapes[] = {{128, 128, 256}, {128, 64, 128}, {64, 64, 128}, {32, 64, 128}};
    for (const auto& shape : shapes) {
        for (int i = 0; i < 3; i++) {
            const Zeros packed(size_t(n) * k * size_t(kBits[i]) / 8), scales(size_t(n / 16) * (k / kGroup) * 32);
            const Zeros x(size_t(m) * k * 2), y(size_t(m) * n * 4);
            const int columns = kBits[i] == 4 ? 64 : 32;
            const int stages = (shape.outputs >= 128 ? 3 : 4) - (kBits[i] == 4 ? 1 : 0);
            const int stage = shape.outputs * columns * kBits[i] / 8 + shape.tokens * columns * 2 +
                              (i == 0 ? 0 : shape.outputs / 16 * 32 * (columns / 32));
            const unsigned shared = unsigned(std::max(stages * stage, shape.threads / 32 * 8 * 36 * 4));
            check(std::string("gemm_") + kWeights[i] + "_" + std::to_string(shape.outputs) + "x" +
                      std::to_string(shape.tokens),
                  {unsigned(m / shape.tokens), unsigned(n / shape.outputs), 1}, unsigned(shape.threads), shared,
                  packed.at(), i == 0 ? none : scales.at(), x.at(), none, none, y.at(), k, 0, 0, 0, n, m, n, k,
                  i == 0 ? 0 : kGroup, 0, 0);
        }
    }
}

TEST_F(ModelKernelsTest, VisionAttention) {
    const int n = 128, heads = 2, head_dim = 64, width = heads * head_dim;
    const Zeros qkv(size_t(n) * 3 * width * 2), y(size_t(n) * width * 2);
    check("vision_attention_64", {2, heads, 1}, 128, 2 * 2 * 64 * 64 * 2, y.at(), qkv.at(), width, 1, 3 * width, n,
          heads, head_dim, 0.18f);
}

TEST_F(ModelKernelsTest, PrefillAndDecodeAttention) {
    const int heads = 4, kv_heads = 2, head_dim = 64, page_count = 4, length = 256, rows = 64;
    const size_t page_bytes = size_t(kv_heads) * 64 * head_dim * 2;
    const Zeros keys(page_count * page_bytes), values(page_count * page_bytes);
    const Zeros query(size_t(rows) * heads * head_dim * 2), y(size_t(rows) * heads * head_dim * 2);
    const Buffer<int> pages(std::vector<int>{2, 0, 3, 1}), arrived(std::vector<int>(64, 0));
    const Buffer<float> partial(size_t(heads) * 2 * head_dim), softmax(heads * 2 * 2);
    const CUdeviceptr no_lengths = 0;
    check("prefill_attention_64", {rows * 2 / 64, kv_heads, 1}, 128, 2 * 2 * 64 * 64 * 2, y.at(), query.at(), keys.at(),
          values.at(), pages.at(), heads * head_dim, 1, heads * head_dim, rows, length - rows, heads, kv_heads,
          head_dim, 0.18f);
    for (int i = 0; i < 2; i++) {
        check("decode_attention_64", {2, kv_heads, 1}, 128, 4 * 2 * 2 * 16 * 64 * 2, y.at(), partial.at(), softmax.at(),
              arrived.at(), query.at(), keys.at(), values.at(), pages.at(), no_lengths, heads * head_dim, 1,
              heads * head_dim, page_count, length, 1, heads, kv_heads, head_dim, 0.18f);
    }
}

TEST_F(ModelKernelsTest, SpatialTokens) {
    const int grid = 8, depth = 64, width = 64, size = 4, columns = size * size * depth, quads = columns / 64;
    for (int i = 0; i < 3; i++) {
        const Zeros packed(size_t(width) * columns * size_t(kBits[i]) / 8);
        const Zeros scales(size_t(width / 16) * (columns / kGroup) * 32);
        const Zeros features(size_t(grid) * grid * depth * 2), partial(64 * width * 4);
        const auto pair = [](int low, int high) { return uint64_t(uint32_t(low)) | uint64_t(uint32_t(high)) << 32; };
        const Buffer<uint64_t> table(
            std::vector<uint64_t>{packed.at(), scales.at(), pair(size, 0), pair(quads, kGroup), pair(columns, 0)});
        check(std::string("spatial_tokens_") + kWeights[i], {2, 1, 1}, 512, 2 * 8 * 1040 + 128, partial.at(),
              features.at(), table.at(), 1, depth, 1, grid, depth, 1, 1, quads, width);
    }
}
