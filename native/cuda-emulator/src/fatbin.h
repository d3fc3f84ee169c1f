// What nvcc says of kernels' parameters: read from a cubin (ELF) or a fatbin of cubins, compressed or not.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace emulator {

struct ImageParameter {
    uint32_t offset, size;
};

/// Parameters of every kernel of one architecture, in order.
struct ImageKernels {
    uint32_t architecture = 0;  // 80 for sm_80; 0 where a cubin stands alone
    std::map<std::string, std::vector<ImageParameter>> kernels;
};

/// Whether the bytes begin as a fatbin or an ELF file does; a single zero does not.
bool looks_like_image(const void* image);

/// Reads all cubins of an image. The driver's call gives no size, so what the headers say is believed as far as
/// `bytes`. Returns false and says why in `problem` if the image is broken or of another form.
bool read_image(const void* image, size_t bytes, std::vector<ImageKernels>& all, std::string& problem);

/// Bytes of an image by its own header, for one that came without a size.
size_t image_bytes(const void* image);

}  // namespace emulator
