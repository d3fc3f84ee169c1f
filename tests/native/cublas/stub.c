// Stands in for cuBLAS in tests: notes what it is asked for and, where told to, computes it on the host as cuBLAS's
// manual defines it.
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct Stub {
    // Set by the test.
    int32_t create_status;
    int32_t computes;
    // Of the last product.
    int32_t transpose_a, transpose_b, m, n, k, type_a, lda, type_b, ldb, type_c, ldc, compute, algorithm;
    float alpha, beta;
    // Since the library was loaded.
    int32_t products, opened, closed;
    void* stream;
};

static struct Stub stub;

struct Stub* stub_state(void) {
    return &stub;
}

const char* cublasGetStatusString(int status) {
    return status == 1 ? "the library was not initialized" : "another status";
}

int cublasCreate_v2(void** handle) {
    if (stub.create_status != 0) return stub.create_status;
    stub.opened++;
    *handle = &stub;
    return 0;
}

int cublasDestroy_v2(void* handle) {
    stub.closed += handle == &stub;
    return handle == &stub ? 0 : 7;
}

int cublasSetStream_v2(void* handle, void* stream) {
    stub.stream = stream;
    return handle == &stub ? 0 : 7;
}

static float element(const void* matrix, int row, int column, int leading) {
    _Float16 value;
    memcpy(&value, (const char*)matrix + 2 * ((ptrdiff_t)column * leading + row), 2);
    return (float)value;
}

int cublasGemmEx(void* handle, int transpose_a, int transpose_b, int m, int n, int k, const void* alpha, const void* a,
                 int type_a, int lda, const void* b, int type_b, int ldb, const void* beta, void* c, int type_c,
                 int ldc, int compute, int algorithm) {
    if (handle != &stub) return 7;
    stub.transpose_a = transpose_a, stub.transpose_b = transpose_b, stub.m = m, stub.n = n, stub.k = k;
    stub.type_a = type_a, stub.lda = lda, stub.type_b = type_b, stub.ldb = ldb, stub.type_c = type_c, stub.ldc = ldc;
    stub.compute = compute, stub.algorithm = algorithm;
    memcpy(&stub.alpha, alpha, 4);
    memcpy(&stub.beta, beta, 4);
    stub.products++;
    if (!stub.computes) return 0;
    for (int column = 0; column < n; column++) {
        for (int row = 0; row < m; row++) {
            float sum = 0;
            for (int i = 0; i < k; i++) {
                const float left = transpose_a ? element(a, i, row, lda) : element(a, row, i, lda);
                sum += left * (transpose_b ? element(b, column, i, ldb) : element(b, i, column, ldb));
            }
            const _Float16 result = (_Float16)(stub.alpha * sum);
            memcpy((char*)c + 2 * ((ptrdiff_t)column * ldc + row), &result, 2);
        }
    }
    return 0;
}
