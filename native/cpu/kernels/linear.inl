// Matrix products. One form for one row (bound by the bandwidth of the weights) and for thousands (bound by
// multiply-adds): the left operand is packed or quantised once; tasks are panels of 32 weight rows times slices of k; a
// task walks its weights once per block of k that fits the first-level cache, and goes over all rows of x with each.
// What a task computes depends on the shape alone, not on the number of threads.
#pragma once

#include "activation.inl"
#include "pack.inl"
#include "parallel.inl"
#include "tile_float.inl"
#include "tile_int8.inl"

namespace lsp {
namespace {

constexpr int64_t kRowBlock = 1024;     // rows of x whose sums a task holds in the second-level cache
constexpr int64_t kMostPanels = 4;      // that a task multiplies rows of x with while they are in the first-level cache
constexpr int64_t kFloatColumns = 256;  // k of a block: 32 KiB of float32 weights
constexpr int64_t kInt8Columns = 1024;  // k of a block: 16 KiB of int4 weights
constexpr int64_t kBlockRowBytes = kInt8Columns;  // of a row of x, or of a weight, in a block of either kind
static_assert(kBlockRowBytes == kFloatColumns * static_cast<int64_t>(sizeof(float)), "both kinds of blocks are alike");
constexpr int64_t kSliceColumns = 16384;  // k of a slice when k is longer than two of them

#if LSP_AMX
constexpr int64_t most_matrix_rows() { return kMatrixRows; }
constexpr bool has_matrix_tiles(int64_t m) { return m > kFewRows; }
#else
constexpr int64_t kMatrixSlack = 0;
constexpr int64_t most_matrix_rows() { return kRows; }
constexpr bool has_matrix_tiles(int64_t) { return false; }
#endif

// A product and where its packed input and its partial sums lie.
struct Job {
    Product product;
    int64_t n;
    int64_t k;
    RowPanels rows;
    int64_t slices;
    int64_t panels;       // of the weight
    int64_t together;     // panels of a task
    bool quantized;       // x as int8
    const float* direct;  // x as it is, when one row needs no packing; else null
    float* packed;
    QuantizedInput input;
    float* partial;  // [slices][panels][m][32], or null when there is one slice

    Job(const Product& product, bool int8_activations)
        : Job(product, int8_activations && product.weight->group != 0, has_matrix_tiles(product.m)) {}

    Job(const Product& product, bool quantized, bool matrix)
        : product(product),
          n(product.weight->rows),
          k(product.weight->columns),
          rows(product.m, quantized && matrix ? most_matrix_rows() : kRows),
          slices(k > 2 * kSliceColumns ? ceil_div(k, kSliceColumns) : 1),
          panels(product.weight->panels),
          together(1),
          quantized(quantized),
          direct(nullptr),
          packed(nullptr),
          input(),
          partial(nullptr) {
        if (!quantized && product.m == 1 && product.x.segment >= k) direct = row_start(product.x, 0);
        input.groups = product.weight->groups;
        input.padded = QuantizedInput::padded_columns(k);
        input.by_rows = quantized && matrix;
    }

    int64_t pack_tasks() const { return direct != nullptr ? 0 : rows.count * ceil_div(k, kPackColumns); }
    int64_t tasks_of_slice() const { return ceil_div(panels, together); }
    int64_t tasks() const { return slices * tasks_of_slice(); }
    int64_t slice_first(int64_t slice) const { return slice * kSliceColumns; }
    int64_t slice_end(int64_t slice) const { return slice + 1 == slices ? k : (slice + 1) * kSliceColumns; }
};

// Cuts one block of memory into the arrays of all jobs; called twice: to measure (base null) and to assign.
struct Carver {
    uint8_t* base;
    size_t used = 0;

    template <typename T>
    T* take(int64_t count) {
        T* result = base == nullptr ? nullptr : reinterpret_cast<T*>(base + used);
        used += (static_cast<size_t>(count) * sizeof(T) + 63) / 64 * 64;
        return result;
    }
};

inline size_t carve(Job* jobs, int count, uint8_t* base) {
    Carver carver{base};
    for (int j = 0; j < count; j++) {
        Job& job = jobs[j];
        const int64_t m = job.product.m;
        if (job.quantized) {
            const auto take = [&](QuantizedTerm& term) {
                term.values = carver.take<int8_t>(m * job.input.padded + (job.input.by_rows ? kMatrixSlack : 0));
                term.scales = carver.take<float>(m * job.input.groups);
                term.start = carver.take<int32_t>(m * job.input.groups);
            };
            take(job.input.first);
            take(job.input.second);
            job.input.has_second = carver.take<uint8_t>(job.rows.count * job.input.groups);
        } else if (job.direct == nullptr) {
            job.packed = carver.take<float>(m * job.k);
        }
        if (job.slices > 1) job.partial = carver.take<float>(job.slices * job.panels * m * kPanel);
    }
    return carver.used;
}

inline void pack_task(const Job& job, int64_t task) {
    const int64_t chunks = ceil_div(job.k, kPackColumns);
    const int64_t panel = task / chunks, first = task % chunks * kPackColumns;
    const int64_t count = least(kPackColumns, job.k - first);
    const lsp_weight& w = *job.product.weight;
    if (job.quantized) {
        pack_int8(job.product.x, job.rows, panel, job.k, first, count, w.group, weight_offset(w.format == LSP_INT8),
                  job.input);
    } else {
        pack_float(job.product.x, job.rows, panel, job.k, first, count, job.packed);
    }
}

// Neighbouring panels of a weight, and the sums of each: acc[i] is [m, 32].
struct Panels {
    const uint8_t* weights;
    int64_t count;
    float* acc[kMostPanels];
};

// acc[i] += x * (i-th panel of w), float32; `tiles` holds kFloatColumns x 32 unpacked weights for each panel.
void multiply_float(const Job& job, const Panels& panels, int64_t first, int64_t end, float* tiles) {
    const lsp_weight& w = *job.product.weight;
    // Halves are widened inside the tile when every weight is used once, else once before all the rows.
    const bool widen = w.format != LSP_F32 && (w.group != 0 || job.rows.count > 1);
    const float* x = job.direct != nullptr ? job.direct : job.packed;
    for (int64_t at = first; at < end; at += kFloatColumns) {
        const int64_t columns = least(kFloatColumns, end - at);
        for (int64_t i = 0; widen && i < panels.count; i++)
            unpack_tile(w, panels.weights + i * w.panel_bytes, at, columns, tiles + i * kFloatColumns * kPanel);
        for (int64_t p = 0; p < job.rows.count; p++) {
            const int64_t size = job.rows.size(p), row = job.rows.first(p);
            const float* rows = x + row * job.k + at * size;
            for (int64_t i = 0; i < panels.count; i++) {
                const uint8_t* panel = panels.weights + i * w.panel_bytes;
                float* out = panels.acc[i] + row * kPanel;
                if (widen) {
                    kFloatTiles<FromF32>[size - 1](tiles + i * kFloatColumns * kPanel, columns, rows, out);
                } else if (w.format == LSP_F32) {
                    const float* floats = reinterpret_cast<const float*>(panel) + at * kPanel;
                    kFloatTiles<FromF32>[size - 1](floats, columns, rows, out);
                } else {
                    const uint16_t* halves = reinterpret_cast<const uint16_t*>(panel) + at * kPanel;
                    const auto* forms = w.format == LSP_F16 ? kFloatTiles<FromF16> : kFloatTiles<FromBF16>;
                    forms[size - 1](halves, columns, rows, out);
                }
            }
        }
    }
}

// Integer products with register tiles.
struct RegisterTiles {
    const lsp_weight& w;
    const Int8Tile* tiles;

    explicit RegisterTiles(const lsp_weight& w)
        : w(w), tiles(w.format == LSP_INT8 ? int8_tiles<true>() : int8_tiles<false>()) {}

    // Before the groups from `group` on, of `columns` in all, are multiplied.
    void begin(const Panels&, int64_t, int64_t) {}

    // acc [rows, 32] += x * (i-th panel of w), `columns` from group g on.
    void multiply(const Panels& panels, int64_t i, int64_t g, int64_t columns, const QuantizedRows& x, int64_t rows,
                  float* acc) const {
        tiles[rows - 1](panels.weights + i * w.panel_bytes + g * w.group_bytes, columns, w.group, x, acc);
    }
};

#if LSP_AMX
// The same with tiles of AMX; `unpacked` holds kInt8Columns x 32 int4 weights, a byte each, for each panel.
struct MatrixTiles {
    const lsp_weight& w;
    uint8_t* unpacked;
    int64_t first_group = 0;  // of what is unpacked

    MatrixTiles(const lsp_weight& w, uint8_t* unpacked) : w(w), unpacked(unpacked) {
        configure_tiles(matrix_step(w.group));
    }
    ~MatrixTiles() { release_tiles(); }

    void begin(const Panels& panels, int64_t group, int64_t columns) {
        first_group = group;
        for (int64_t i = 0; w.format == LSP_INT4 && i < panels.count; i++) {
            unpack_nibbles(panels.weights + i * w.panel_bytes + group * w.group_bytes, w.group_bytes, columns, w.group,
                           unpacked + i * kInt8Columns * kPanel);
        }
    }

    void multiply(const Panels& panels, int64_t i, int64_t g, int64_t columns, const QuantizedRows& x, int64_t rows,
                  float* acc) const {
        const uint8_t* block = panels.weights + i * w.panel_bytes + g * w.group_bytes;
        const uint8_t* bytes = unpacked + (i * kInt8Columns + (g - first_group) * w.group) * kPanel;
        matrix_tile(w.format == LSP_INT8 ? MatrixWeights{block, w.group_bytes, block + 2 * kPanel, w.group_bytes}
                                         : MatrixWeights{block, w.group_bytes, bytes, w.group * kPanel},
                    columns, w.group, x, rows, acc);
    }
};
#endif

// acc[i] += x * (i-th panel of w) with integer products.
template <typename Tiles>
void multiply_int8(const Job& job, const Panels& panels, int64_t first, int64_t end, Tiles& tiles) {
    const lsp_weight& w = *job.product.weight;
    for (int64_t at = first; at < end; at += kInt8Columns) {
        const int64_t columns = QuantizedInput::padded_columns(least(kInt8Columns, end - at));
        const int64_t first_group = at / w.group, groups = ceil_div(columns, w.group);
        tiles.begin(panels, first_group, columns);
        for (int64_t p = 0; p < job.rows.count; p++) {
            const int64_t size = job.rows.size(p), row = job.rows.first(p);
            // The rows of x from group g on.
            const auto rows = [&](const QuantizedTerm& term, int64_t g) {
                const int64_t scale = row * job.input.groups + g * size;
                return QuantizedRows{term.values + row * job.input.padded + g * w.group * size, term.scales + scale,
                                     term.start + scale};
            };
            const uint8_t* has_second = job.input.has_second + p * job.input.groups;
            for (int64_t i = 0; i < panels.count; i++) {
                float* out = panels.acc[i] + row * kPanel;
                tiles.multiply(panels, i, first_group, columns, rows(job.input.first, first_group), size, out);
                for (int64_t g = first_group; g < first_group + groups; g++) {
                    if (!has_second[g]) continue;
                    const int64_t here = least(w.group, columns - (g - first_group) * w.group);
                    tiles.multiply(panels, i, g, here, rows(job.input.second, g), size, out);
                }
            }
        }
    }
}

void multiply_integers(const Job& job, const Panels& panels, int64_t first, int64_t end, float* tiles) {
    const lsp_weight& w = *job.product.weight;
#if LSP_AMX
    if (job.input.by_rows) {
        MatrixTiles matrix(w, reinterpret_cast<uint8_t*>(tiles));
        multiply_int8(job, panels, first, end, matrix);
        return;
    }
#endif
    (void)tiles;
    RegisterTiles registers(w);
    multiply_int8(job, panels, first, end, registers);
}

// y = activation(acc + bias) + residual for one panel of columns and `count` rows from `first`.
void finish(const Job& job, int64_t panel, int64_t first, int64_t count, const float* acc) {
    const Product& p = job.product;
    const int64_t column = panel * kPanel;
    for (int64_t i = 0; i < count; i++) {
        for (int64_t c = column; c < least(column + kPanel, job.n); c += kWidth) {
            const int64_t at = (first + i) * p.stride + c, lanes = job.n - c;
            const float* sum = acc + i * kPanel + (c - column);
            if (lanes >= kWidth) {
                F32 value = load(sum);
                if (p.bias != nullptr) value = value + load(p.bias + c);
                value = apply_activation(value, p.activation);
                if (p.residual != nullptr) value = value + load(p.residual + at);
                store(p.y + at, value);
            } else {
                F32 value = load(sum);
                if (p.bias != nullptr) value = value + load_partial(p.bias + c, lanes);
                value = apply_activation(value, p.activation);
                if (p.residual != nullptr) value = value + load_partial(p.residual + at, lanes);
                store_partial(p.y + at, value, lanes);
            }
        }
    }
}

inline void multiply_task(const Job& job, int64_t task, float* scratch) {
    const int64_t slice = task / job.tasks_of_slice(), panel = task % job.tasks_of_slice() * job.together;
    const int64_t size = job.product.m * kPanel;
    float* tiles = scratch;
    const lsp_weight& w = *job.product.weight;
    Panels panels = {w.data + panel * w.panel_bytes, least(job.together, job.panels - panel), {}};
    for (int64_t i = 0; i < panels.count; i++) {
        panels.acc[i] = job.partial != nullptr ? job.partial + (slice * job.panels + panel + i) * size
                                               : scratch + kMostPanels * kFloatColumns * kPanel + i * size;
        memset(panels.acc[i], 0, static_cast<size_t>(size) * sizeof(float));
    }
    if (job.quantized) {
        multiply_integers(job, panels, job.slice_first(slice), job.slice_end(slice), tiles);
    } else {
        multiply_float(job, panels, job.slice_first(slice), job.slice_end(slice), tiles);
    }
    if (job.partial != nullptr) return;
    for (int64_t i = 0; i < panels.count; i++) finish(job, panel + i, 0, job.product.m, panels.acc[i]);
}

// Adds the slices of one panel in order.
inline void reduce_task(const Job& job, int64_t panel) {
    const int64_t m = job.product.m, stride = job.panels * m * kPanel;
    float* sum = job.partial + panel * m * kPanel;
    for (int64_t i = 0; i < m * kPanel; i += kWidth) {
        F32 total = load(sum + i);
        for (int64_t s = 1; s < job.slices; s++) total = total + load(sum + s * stride + i);
        store(sum + i, total);
    }
    finish(job, panel, 0, m, sum);
}

// Which job a task belongs to when the tasks of all are counted through; `task` becomes its number inside the job.
template <typename Count>
inline int find_job(const Job* jobs, const Count& count, int64_t& task) {
    int j = 0;
    for (; task >= count(jobs[j]); j++) task -= count(jobs[j]);
    return j;
}

template <typename Count, typename Body>
inline void for_all_tasks(lsp_engine& engine, const Job* jobs, int job_count, int64_t grain, const Count& count,
                          const Body& body) {
    int64_t total = 0;
    for (int j = 0; j < job_count; j++) total += count(jobs[j]);
    parallel_for(engine, total, grain, [&](int64_t begin, int64_t end, int thread) {
        for (int64_t i = begin; i < end; i++) {
            int64_t task = i;
            const Job& job = jobs[find_job(jobs, count, task)];
            body(job, task, thread);
        }
    });
}

// Carries out independent products side by side; at most kRowBlock rows each.
void run_jobs(lsp_engine& engine, Job* jobs, int count) {
    int64_t rows = 0;
    for (int j = 0; j < count; j++) rows = jobs[j].product.m > rows ? jobs[j].product.m : rows;
    for (int j = 0; j < count; j++) {
        // Few rows stay in the cache by themselves, every thread wants several tasks, and the rows of a block of k, the
        // weights and the sums are to fit three quarters of the second-level cache.
        Job& job = jobs[j];
        const int64_t most = job.slices * job.panels / (8 * threads(engine));
        const int64_t rest = second_level_cache(engine) / 4 * 3 - job.product.m * kBlockRowBytes;
        const int64_t fit = rest / (kBlockRowBytes * kPanel + job.product.m * kPanel * 4);
        const int64_t together = least(least(most, fit), kMostPanels);
        job.together = job.rows.count < 4 || together < 1 ? 1 : together;
    }
    carve(jobs, count, static_cast<uint8_t*>(scratch(engine, Scratch::kProducts, carve(jobs, count, nullptr) + 64)));
    reserve_thread_scratch(engine, static_cast<size_t>(kMostPanels * (kFloatColumns + rows) * kPanel) * sizeof(float));

    for_all_tasks(
        engine, jobs, count, 1, [](const Job& job) { return job.pack_tasks(); },
        [](const Job& job, int64_t task, int) { pack_task(job, task); });
    for_all_tasks(
        engine, jobs, count, 1, [](const Job& job) { return job.tasks(); },
        [&](const Job& job, int64_t task, int thread) {
            multiply_task(job, task, static_cast<float*>(thread_scratch(engine, thread)));
        });
    for_all_tasks(
        engine, jobs, count, 1, [](const Job& job) { return job.slices > 1 ? job.panels : 0; },
        [](const Job& job, int64_t panel, int) { reduce_task(job, panel); });
}

void linear(lsp_engine& engine, const Product& product, bool int8_activations) {
    if (product.m == 0) return;
    // Equal blocks of rows, whole register tiles each.
    const int64_t blocks = ceil_div(product.m, kRowBlock);
    const int64_t size = ceil_div(ceil_div(product.m, blocks), kRows) * kRows;
    for (int64_t first = 0; first < product.m; first += size) {
        Product part = product;
        part.m = least(size, product.m - first);
        part.y += first * product.stride;
        if (part.residual != nullptr) part.residual += first * product.stride;
        part.x.first += first;
        Job job(part, int8_activations);
        run_jobs(engine, &job, 1);
    }
}

}  // namespace
}  // namespace lsp
