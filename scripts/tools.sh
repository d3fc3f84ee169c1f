# Sourced by the scripts: the tools that a build needs, installed or asked for.

# Name of this platform in .NET's terms.
runtime_id() {
    case "$(uname -m)" in
        x86_64) echo linux-x64 ;;
        aarch64) echo linux-arm64 ;;
        *) echo "llava-sp: no build for $(uname -m) yet" >&2; return 1 ;;
    esac
}

# Installs a Debian package as root, else says which one is missing. $1 tool or file that it brings, $2 package.
install_package() {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing $2 ($1 is missing)"
        apt-get install -y --no-install-recommends "$2" >/dev/null 2>&1 ||
            { apt-get update >/dev/null 2>&1 && apt-get install -y --no-install-recommends "$2" >/dev/null; } && return 0
    fi
    echo "llava-sp: $1 is missing: install the package $2 (apt-get install $2)" >&2
    return 1
}

# Checks that every named tool is there.
need_tools() {
    local tool missing=0
    for tool in "$@"; do
        case "$tool" in
            dotnet)
                if ! command -v dotnet >/dev/null || ! dotnet --list-sdks | grep -q '^1[0-9]\.'; then
                    echo "llava-sp: the .NET 10 SDK is missing: install the package dotnet-sdk-10.0 from Microsoft's repository for Debian" >&2
                    missing=1
                fi ;;
            *) command -v "$tool" >/dev/null || install_package "$tool" "$tool" || missing=1 ;;
        esac
    done
    return $missing
}

# Prints which of the things that build for aarch64 and run it here are missing; tools/install-aarch64 brings them.
missing_for_aarch64() {
    command -v aarch64-linux-gnu-g++ >/dev/null || echo g++-aarch64-linux-gnu
    qemu_aarch64 >/dev/null || echo qemu-user
    [ -e /usr/src/googletest/CMakeLists.txt ] || echo googletest
}

# Prints the path of qemu for programs of aarch64, or fails.
qemu_aarch64() { command -v qemu-aarch64 || command -v qemu-aarch64-static; }

# Folder of the CUDA compiler that tools/install-cuda brings.
cuda_prefix() {
    if [ -n "${CUDA_TOOLS:-}" ]; then echo "$CUDA_TOOLS"
    elif [ "$(id -u)" = 0 ]; then echo /opt/llava-sp-cuda
    else echo "${XDG_DATA_HOME:-$HOME/.local/share}/llava-sp-cuda"; fi
}

# Prints the path of nvcc, or fails: CUDA_TOOLS, PATH, tools/install-cuda, CUDA_HOME, where NVIDIA's installer puts it.
find_nvcc() {
    local path
    for path in ${CUDA_TOOLS:+"$CUDA_TOOLS/bin/nvcc"} "$(command -v nvcc)" "$(cuda_prefix)/bin/nvcc" /opt/llava-sp-cuda/bin/nvcc \
        ${CUDA_HOME:+"$CUDA_HOME/bin/nvcc"} /usr/local/cuda/bin/nvcc; do
        if [ -x "$path" ]; then echo "$path"; return 0; fi
    done
    return 1
}

# $1 nvcc. Prints its version: 11.8.
nvcc_version() { "$1" --version | sed -n 's/.*release \([0-9.]*\),.*/\1/p'; }

# Prints the folder that clang takes as --cuda-path, or fails: nvcc's own tree, or where Debian's package puts it.
cuda_headers() {
    local nvcc path
    nvcc=$(find_nvcc) || return 1
    for path in "$(dirname "$(dirname "$(readlink -f "$nvcc")")")" /usr/lib/cuda; do
        if [ -e "$path/include/cuda.h" ] && [ -e "$path/nvvm/libdevice" ]; then echo "$path"; return 0; fi
    done
    return 1
}

# Plots have no text without a font, which their library looks for below /usr/share/fonts. False where it cannot be installed.
need_plot_font() { find /usr/share/fonts -name DejaVuSans.ttf 2>/dev/null | grep -q . || install_package 'a font' fonts-dejavu-core; }
