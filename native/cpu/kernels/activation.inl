namespace lsp {
namespace {

inline F32 apply_activation(F32 x, int activation) {
    switch (activation) {
        case LSP_GELU: return gelu(x);
        case LSP_QUICK_GELU: return quick_gelu(x);
        default: return x;
    }
}

void activate(lsp_engine& engine, float* destination, const float* source, int64_t count, int activation) {
    parallel_for(engine, count, grain_for(engine, count, 4096), [=](int64_t begin, int64_t end, int) {
        int64_t i = begin;
        for (; i + kWidth <= end; i += kWidth) store(destination + i, apply_activation(load(source + i), activation));
        if (i < end) store_partial(destination + i, apply_activation(load_partial(source + i, end - i), activation), end - i);
    });
}

}  // namespace
}  // namespace lsp
