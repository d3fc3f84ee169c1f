# For scripts that run TorchSharp: sourced from the root of the repository.

# Prints what LD_PRELOAD has to be for TorchSharp's native library, nothing where it runs as it is. $1 folder for what is built.
# That library wants a symbol, and with it a version, that libstdc++ has from GCC 13 on: the initialiser of the standard streams. A library of the same
# name that has the symbol but no versions goes before the system's own: the loader then asks for none.
torch_preload() {
    mkdir -p "$1"
    echo 'int main() { return dlsym(RTLD_DEFAULT, "_ZSt21ios_base_library_initv") == nullptr; }' |
        g++ -include dlfcn.h -x c++ - -o "$1/probe" 2>/dev/null && "$1/probe" && return 0
    g++ -shared -fPIC -O1 -nodefaultlibs -Wl,-soname,libstdc++.so.6 -x c++ - -o "$1/libios-init.so" <<'CODE'
#include <ios>
extern "C" void _ZSt21ios_base_library_initv() { new std::ios_base::Init; }
CODE
    echo "$PWD/$1/libios-init.so $(readlink -f "$(g++ -print-file-name=libstdc++.so.6)")"
}

# Prints what LD_PRELOAD needs besides for libtorch's MKL to use AVX2 and AVX-512 on processors that are not Intel's: it has fast kernels for both, but
# asks who made the processor, not what it can do. $1 folder for what is built.
mkl_preload() {
    mkdir -p "$1"
    echo 'int mkl_serv_intel_cpu_true(void) { return 1; } int mkl_serv_intel_cpu(void) { return 1; }' | g++ -shared -fPIC -O1 -x c - -o "$1/libmkl-kernels.so"
    echo "$PWD/$1/libmkl-kernels.so"
}
