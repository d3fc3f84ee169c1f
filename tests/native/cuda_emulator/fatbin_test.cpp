// Kernels' parameters are held against an image of nvcc's, here put together by hand as its files are.
#include <elf.h>

#include "support.h"

namespace {

using Bytes = std::vector<unsigned char>;

struct Parameter {
    uint16_t offset;
    uint32_t size;
};

template <typename T>
void append(Bytes& to, T value) {
    const unsigned char* bytes = reinterpret_cast<const unsigned char*>(&value);
    to.insert(to.end(), bytes, bytes + sizeof(T));
}

/// An ELF file with the section .nv.info.KERNEL: a foreign attribute, then the parameters, the last one first.
Bytes cubin(const std::string& kernel, const std::vector<Parameter>& parameters) {
    const std::string names = std::string(1, '\0') + ".shstrtab" + '\0' + ".nv.info." + kernel + '\0';
    Bytes info = {0x03, 0x50, 0x00, 0x00};
    for (size_t i = parameters.size(); i-- > 0;) {
        append<uint32_t>(info, 0x000c1704);
        append<uint32_t>(info, 0);
        append<uint16_t>(info, uint16_t(i));
        append<uint16_t>(info, parameters[i].offset);
        append<uint32_t>(info, parameters[i].size << 18 | 0x1f000);
    }
    Elf64_Ehdr header = {};
    memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_shnum = 3;
    header.e_shstrndx = 1;
    header.e_shoff = sizeof header + names.size() + info.size();
    Elf64_Shdr sections[3] = {};
    sections[1].sh_name = 1;
    sections[1].sh_offset = sizeof header;
    sections[1].sh_size = names.size();
    sections[2].sh_name = 11;
    sections[2].sh_offset = sizeof header + names.size();
    sections[2].sh_size = info.size();
    Bytes file;
    append(file, header);
    file.insert(file.end(), names.begin(), names.end());
    file.insert(file.end(), info.begin(), info.end());
    for (const Elf64_Shdr& section : sections) append(file, section);
    return file;
}

/// An LZ4 block of literals and, first, a copy: the zeros of the ELF header behind its ninth byte.
Bytes compressed(const Bytes& file) {
    Bytes block = {0x90 | 2};  // 9 literals, then 2 + 4 bytes from one byte before
    block.insert(block.end(), file.begin(), file.begin() + 9);
    append<uint16_t>(block, 1);
    const size_t rest = file.size() - 15;
    block.push_back(0xf0);
    size_t left = rest - 15;
    for (; left >= 255; left -= 255) block.push_back(255);
    block.push_back(uint8_t(left));
    block.insert(block.end(), file.begin() + 15, file.end());
    return block;
}

Bytes fatbin(const Bytes& file, uint32_t architecture, bool compress) {
    const Bytes data = compress ? compressed(file) : file;
    Bytes image;
    append<uint32_t>(image, 0xba55ed50);
    append<uint32_t>(image, 0x00100001);
    append<uint64_t>(image, 64 + data.size());
    append<uint32_t>(image, 0x01010002);
    append<uint32_t>(image, 64);
    append<uint64_t>(image, data.size());
    append<uint64_t>(image, compress ? data.size() : 0);
    append<uint32_t>(image, 0x00010007);
    append<uint32_t>(image, architecture);
    append<uint64_t>(image, 0);
    append<uint64_t>(image, compress ? 0x2011 : 0x11);
    append<uint64_t>(image, 0);
    append<uint64_t>(image, compress ? file.size() : 0);
    image.insert(image.end(), data.begin(), data.end());
    return image;
}

class FatbinTest : public EmulatorTest {
  protected:
    CUresult load(const Bytes& image) {
        Bytes all = {'L', 'S', 'P', 'E', 'M', 'U', '0', '1'};
        all.insert(all.end(), image.begin(), image.end());
        return cuModuleLoadData(&module, all.data());
    }
    CUresult find(const char* kernel) {
        CUfunction result;
        return cuModuleGetFunction(&result, module, kernel);
    }
};

// test_row_sum(float* y, const float* x, int n).
const std::vector<Parameter> kRight = {{0, 8}, {8, 8}, {16, 4}};

}  // namespace

TEST_F(FatbinTest, TheSameParametersAreTaken) {
    const Bytes file = cubin("test_row_sum", kRight);
    for (const Bytes& image : {file, fatbin(file, 80, false), fatbin(file, 80, true)}) {
        CU(load(image));
        CU(find("test_row_sum"));
        const Buffer<float> x(std::vector<float>(64, 1.0f)), y(1);
        CU(run("test_row_sum", 1, 64, 128, y.at(), x.at(), 64));
        EXPECT_EQ(64, y.values()[0]);
    }
}

TEST_F(FatbinTest, AnotherSizeIsFound) {
    CU(load(fatbin(cubin("test_row_sum", {{0, 8}, {8, 8}, {16, 8}}), 86, true)));
    EXPECT_EQ(CUDA_ERROR_INVALID_IMAGE, find("test_row_sum"));
    expect_text({"test_row_sum", "parameter 2 has 4 bytes at 16", "sm_86 8 bytes at 16"});
}

TEST_F(FatbinTest, AnotherPlaceIsFound) {
    CU(load(fatbin(cubin("test_row_sum", {{0, 8}, {16, 8}, {8, 4}}), 80, false)));
    EXPECT_EQ(CUDA_ERROR_INVALID_IMAGE, find("test_row_sum"));
    expect_text({"parameter 1 has 8 bytes at 8", "8 bytes at 16"});
}

TEST_F(FatbinTest, AnotherNumberIsFound) {
    CU(load(cubin("test_row_sum", {{0, 8}, {8, 8}})));
    EXPECT_EQ(CUDA_ERROR_INVALID_IMAGE, find("test_row_sum"));
    expect_text({"test_row_sum", "takes 3 parameters", "2"});
}

TEST_F(FatbinTest, AKernelThatTheImageLacksIsNotFound) {
    CU(load(fatbin(cubin("test_row_sum", kRight), 80, true)));
    EXPECT_EQ(CUDA_ERROR_NOT_FOUND, find("test_softmax"));
    expect_text({"test_softmax", "sm_80"});
}

TEST_F(FatbinTest, ABrokenImageIsRefused) {
    const Bytes file = cubin("test_row_sum", kRight);
    Bytes sections = file, block = fatbin(file, 80, true), entry = fatbin(file, 80, false);
    memset(sections.data() + offsetof(Elf64_Ehdr, e_shoff), 0x7f, 4);
    block[80] = 0xf0;                    // more literals than there are
    memset(entry.data() + 24, 0x7f, 8);  // bytes of the entry
    for (const Bytes& image : {fatbin(sections, 80, false), block, entry}) {
        EXPECT_EQ(CUDA_ERROR_INVALID_IMAGE, load(image));
        expect_text({"LSPEMU01", "broken"});
        lspEmulatorClearError();
    }
}
