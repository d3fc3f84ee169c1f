namespace lsp {
namespace {
void tmp_layer_norm(lsp_engine& engine, float* destination, const float* source, const float* weight, const float* bias, int64_t rows, int64_t columns, float epsilon) {
    parallel_for(engine, rows, 4, [=](int64_t begin, int64_t end, int) {
        for (int64_t r = begin; r < end; r++) {
            double mean = 0, var = 0;
            for (int64_t c = 0; c < columns; c++) mean += source[r * columns + c];
            mean /= columns;
            for (int64_t c = 0; c < columns; c++) var += (source[r * columns + c] - mean) * (source[r * columns + c] - mean);
            const double inv = 1 / __builtin_sqrt(var / columns + epsilon);
            for (int64_t c = 0; c < columns; c++) destination[r * columns + c] = (float)((source[r * columns + c] - mean) * inv) * weight[c] + bias[c];
        }
    });
}
}
}
#define layer_norm tmp_layer_norm
