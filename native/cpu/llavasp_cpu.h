// C ABI of the SIMD CPU engine (libllavasp_cpu). All matrices are row-major float32 unless said otherwise; sizes are in
// elements. Calls on one engine come from one thread at a time and return when the work is done, except
// lsp_weight_write_*, which may run in parallel on different blocks of rows. Every function that can fail returns an
// lsp_status; a destination is undefined after a failure.
#ifndef LLAVASP_CPU_H
#define LLAVASP_CPU_H

#include <stdint.h>

#if defined(__GNUC__)
#define LSP_API __attribute__((visibility("default")))
#else
#define LSP_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

// Raised by one with every change of this file that an older caller would not survive.
#define LSP_ABI_VERSION 2

typedef enum lsp_status {
    LSP_OK = 0,
    LSP_INVALID_ARGUMENT = 1,
    LSP_OUT_OF_MEMORY = 2,
    LSP_UNKNOWN_ISA = 3,      // no instruction set of that name in this build
    LSP_UNSUPPORTED_ISA = 4,  // the processor or the operating system lacks it
    LSP_NOT_A_NUMBER = 5,     // lsp_argmax met NaN
    LSP_NO_THREADS = 6        // a worker thread could not be started
} lsp_status;

typedef enum lsp_format { LSP_F32 = 0, LSP_F16 = 1, LSP_BF16 = 2, LSP_INT8 = 3, LSP_INT4 = 4 } lsp_format;
typedef enum lsp_activation { LSP_NONE = 0, LSP_GELU = 1, LSP_QUICK_GELU = 2 } lsp_activation;
typedef enum lsp_spatial_mode { LSP_POOLING = 0, LSP_CROPPING = 1 } lsp_spatial_mode;

typedef struct lsp_engine lsp_engine;
typedef struct lsp_weight lsp_weight;
typedef struct lsp_kv_cache lsp_kv_cache;

// --- engine
// -----------------------------------------------------------------------------------------------------------------------------------

LSP_API int32_t lsp_abi_version(void);

// Name of the index-th instruction set that this build has and this machine can run, worst first; null past the end.
LSP_API const char* lsp_isa_available(int32_t index);

// isa: "scalar", on x86 "avx2", "avxvnni", "avx512", "avx512vnni", "amx", on aarch64 "neon", "dotprod", "i8mm", or null
// for the best; threads: 1 to 1024, the caller included.
LSP_API int32_t lsp_engine_create(const char* isa, int32_t threads, lsp_engine** out);
LSP_API void lsp_engine_destroy(lsp_engine* engine);
LSP_API const char* lsp_engine_isa(const lsp_engine* engine);

// Memory for activations: 64-byte aligned, undefined contents; what large blocks are made of is kept for the next. Null
// when there is no memory. bytes: as they were asked for.
LSP_API void* lsp_allocate(int64_t bytes);
LSP_API void lsp_free(void* block, int64_t bytes);

// --- weights
// ----------------------------------------------------------------------------------------------------------------------------------

// A matrix [rows, columns], packed in panels of LSP_PANEL_ROWS rows. group: 32, 64 or 128 for integer formats, else 0.
#define LSP_PANEL_ROWS 32
LSP_API int32_t lsp_weight_create(int64_t rows, int64_t columns, int32_t format, int32_t group, lsp_weight** out);
LSP_API void lsp_weight_destroy(lsp_weight* weight);
LSP_API int64_t lsp_weight_bytes(const lsp_weight* weight);

// Packs rows first .. first + count - 1; first is a multiple of LSP_PANEL_ROWS, and so is count except at the end of
// the matrix. values [count, columns]; for float formats (rounded to nearest even).
LSP_API int32_t lsp_weight_write_f32(lsp_weight* weight, int64_t first, int64_t count, const float* values);
// values [count, columns] in [-127, 127] (int8) or [-8, 7] (int4), scales [count, groups] that are exact in IEEE half.
LSP_API int32_t lsp_weight_write_integers(lsp_weight* weight, int64_t first, int64_t count, const int8_t* values,
                                          const float* scales);
// values [count] rows as a checkpoint holds them in the weight's own format: float32, halves, int8, or int4 with the
// even column in the low nibble, plus 8, and (columns + 1) / 2 bytes for each row. scales [count, groups] IEEE halves
// for integer formats.
LSP_API int32_t lsp_weight_write_stored(lsp_weight* weight, int64_t first, int64_t count, const void* values,
                                        const uint16_t* scales);
// destination [count, columns]: any rows, dequantised.
LSP_API int32_t lsp_weight_read_rows(const lsp_weight* weight, int64_t first, int64_t count, float* destination);

// --- key-value cache
// --------------------------------------------------------------------------------------------------------------------------

// format: LSP_F16 or LSP_F32.
LSP_API int32_t lsp_kv_cache_create(int32_t layers, int32_t kv_heads, int32_t head_dim, int32_t capacity,
                                    int32_t format, lsp_kv_cache** out);
LSP_API void lsp_kv_cache_destroy(lsp_kv_cache* cache);
// Keys and values of the first positions of one cache over those of another: sizes and formats are the same, capacities
// need not be.
LSP_API int32_t lsp_kv_cache_copy(lsp_kv_cache* destination, const lsp_kv_cache* source, int64_t positions);

// --- products (api_matrix.cpp)
// ----------------------------------------------------------------------------------------------------------------

// y [m, n] = activation(x [m, k] * weight [n, k]^T + bias [n]) + residual [m, n]; bias and residual may be null,
// residual may be y. int8_activations: nonzero quantises x to int8 per row and group when the weight is of an integer
// format.
LSP_API int32_t lsp_linear(lsp_engine* engine, float* y, const float* x, int64_t m, const lsp_weight* weight,
                           const float* bias, int32_t activation, const float* residual, int32_t int8_activations);

// destination [tiles * (n + 1), d], n = (size / patch)^2, d = rows of patches. pixels [tiles, 3, size, size] 8-bit,
// lookup [3, 256], patches [d, 3 * patch * patch], class_token [d], positions [n + 1, d], norm_weight and norm_bias
// [d].
LSP_API int32_t lsp_patch_embedding(lsp_engine* engine, float* destination, const uint8_t* pixels, const float* lookup,
                                    int64_t tiles, int64_t size, int64_t patch, const lsp_weight* patches,
                                    const float* class_token, const float* positions, const float* norm_weight,
                                    const float* norm_bias, float epsilon, int32_t int8_activations);

// destination [tiles * count, width], tile by tile, from features [tiles * grid * grid, d]; kernels[i] is [width,
// sizes[i]^2 * d] and is read once for all tiles. Cropping takes the size x size cells from row and column (grid -
// size) / 2 on.
LSP_API int32_t lsp_spatial_tokens(lsp_engine* engine, float* destination, const float* features, int64_t tiles,
                                   int64_t grid, int64_t d, int32_t mode, int32_t count, const int32_t* sizes,
                                   const lsp_weight* const* kernels, int32_t int8_activations);

// Adaptive average pool of features [grid * grid, d] to destination [size * size, d].
LSP_API int32_t lsp_adaptive_pool(lsp_engine* engine, float* destination, const float* features, int64_t grid,
                                  int64_t d, int64_t size);

typedef struct lsp_norm_linear {
    const float* norm_weight;  // [width]
    const float* norm_bias;    // [width]
    const lsp_weight* linear;  // [width, width]
    const float* bias;         // [width]
} lsp_norm_linear;

// Where to leave intermediates of all tiles, one after the other; each may be null. p = ((grid - kernel) / stride +
// 1)^2 positions, t tokens.
typedef struct lsp_fusion_trace {
    float* conv;    // [p, width], after nan_to_num
    float* query;   // [t, width]
    float* key;     // [p, width]
    float* value;   // [p, width]
    float* logits;  // [t, p], scaled, after nan_to_num
    float* probs;   // [t, p]
    float* out;     // [t, width]
} lsp_fusion_trace;

// destination [tiles * count, 2 * width] from tokens [tiles * count, width] and features [tiles * grid * grid, d]; conv
// [width, kernel^2 * d].
LSP_API int32_t lsp_detail_fusion(lsp_engine* engine, float* destination, const float* tokens, int64_t count,
                                  const float* features, int64_t tiles, int64_t grid, int64_t d, int64_t kernel,
                                  int64_t stride, const lsp_weight* conv, const lsp_norm_linear* query,
                                  const lsp_norm_linear* key, const lsp_norm_linear* value, float epsilon,
                                  const lsp_fusion_trace* trace, int32_t int8_activations);

// destination [count, columns]: row i is row ids[i] of source [rows, columns].
LSP_API int32_t lsp_gather(lsp_engine* engine, float* destination, const float* source, int64_t rows, int64_t columns,
                           const int32_t* ids, int64_t count);

// --- everything else (api_vector.cpp)
// ---------------------------------------------------------------------------------------------------------

LSP_API int32_t lsp_copy(lsp_engine* engine, float* destination, const float* source, int64_t count);
LSP_API int32_t lsp_activate(lsp_engine* engine, float* destination, const float* source, int64_t count,
                             int32_t activation);

// destination and source [rows, columns] (may be the same), weight and bias [columns].
LSP_API int32_t lsp_layer_norm(lsp_engine* engine, float* destination, const float* source, const float* weight,
                               const float* bias, int64_t rows, int64_t columns, float epsilon);
LSP_API int32_t lsp_rms_norm(lsp_engine* engine, float* destination, const float* source, const float* weight,
                             int64_t rows, int64_t columns, float epsilon);

// destination [m, n] = silu(gate) * up, gate_up [m, 2 * n].
LSP_API int32_t lsp_gated_activation(lsp_engine* engine, float* destination, const float* gate_up, int64_t m,
                                     int64_t n);

// qkv [batch * n, 3 * heads * head_dim], destination [batch * n, heads * head_dim]; attention inside each block of n
// rows.
LSP_API int32_t lsp_full_attention(lsp_engine* engine, float* destination, const float* qkv, int64_t batch, int64_t n,
                                   int32_t heads, int32_t head_dim);

// qkv [m, (heads + 2 * kv_heads) * head_dim]; query [m, heads * head_dim]; row i stands at position first + i. cosines
// and sines [positions, head_dim / 2] hold a row for every position up to the last; keys and values go to cache
// positions first … first + m - 1.
LSP_API int32_t lsp_rope_and_cache(lsp_engine* engine, float* query, const float* qkv, int64_t m, int32_t heads,
                                   lsp_kv_cache* cache, int32_t layer, int64_t first, const float* cosines,
                                   const float* sines);

// query and destination [m, heads * head_dim]; row i sees cache positions 0 … first + i.
LSP_API int32_t lsp_causal_attention(lsp_engine* engine, float* destination, const float* query, int64_t m,
                                     int32_t heads, const lsp_kv_cache* cache, int32_t layer, int64_t first);

// destination [count, columns] = rows ids of the table; an id outside of it is LSP_INVALID_ARGUMENT.
LSP_API int32_t lsp_embed(lsp_engine* engine, float* destination, const lsp_weight* table, const int32_t* ids,
                          int64_t count);

// First index of the largest of n values; LSP_NOT_A_NUMBER when one of them is NaN.
LSP_API int32_t lsp_argmax(lsp_engine* engine, const float* values, int64_t n, int64_t* index);

// --- ceilings of this machine (bench.cpp)
// -----------------------------------------------------------------------------------------------------

// Seconds of the best of `repeats` passes in which all threads read a buffer of `bytes` once; negative when there is no
// memory.
LSP_API double lsp_bench_read_bandwidth(lsp_engine* engine, int64_t bytes, int32_t repeats);
// Best rate of all threads together over `repeats` runs: float32 multiply-adds (FLOP/s, two per element) in registers …
LSP_API double lsp_bench_fma(lsp_engine* engine, int32_t repeats);
// … and int8 dot products (operations per second, two per element), in the form that the instruction set has.
LSP_API double lsp_bench_int8_dot(lsp_engine* engine, int32_t repeats);

#ifdef __cplusplus
}
#endif

#endif
