#include "fatbin.h"

#include <elf.h>

#include <algorithm>
#include <cstring>

namespace emulator {
namespace {

constexpr uint16_t kEntryCubin = 2;
constexpr uint64_t kEntryCompressed = 0x2000;
// Attributes of a section .nv.info.KERNEL: a byte of format, a byte of name, then a value of two bytes, or the length
// of the value and the value.
constexpr uint8_t kFormatSized = 4, kAttributeParameter = 0x17;
constexpr char kInfo[] = ".nv.info.";

struct FatbinHeader {
    uint32_t magic;
    uint16_t version, header_bytes;
    uint64_t bytes;  // behind the header
};
struct FatbinEntry {
    uint16_t kind, version;
    uint32_t header_bytes;
    uint64_t bytes;
    uint32_t compressed_bytes, unused0;
    uint16_t minor, major;
    uint32_t architecture;
    uint32_t name_offset, name_bytes;
    uint64_t flags, unused1, uncompressed_bytes;
};
static_assert(sizeof(FatbinHeader) == 16 && sizeof(FatbinEntry) == 64);

/// Bytes that are read with their bounds checked.
struct Bytes {
    const unsigned char* data;
    size_t size;

    template <typename T>
    bool read(size_t at, T& value) const {
        if (at > size || size - at < sizeof(T)) return false;
        memcpy(&value, data + at, sizeof(T));
        return true;
    }
    bool part(uint64_t at, uint64_t count, Bytes& result) const {
        if (at > size || count > size - at) return false;
        result = Bytes{data + at, size_t(count)};
        return true;
    }
    /// The text that ends with a zero.
    std::string text(size_t at) const {
        const unsigned char* end = at < size ? std::find(data + at, data + size, 0) : data;
        return at < size ? std::string(data + at, end) : std::string();
    }
};

/// An LZ4 block: runs of literal bytes and copies of what came before.
bool decompress(Bytes from, size_t bytes, std::vector<unsigned char>& to) {
    to.clear();
    to.reserve(bytes);
    size_t at = 0;
    const auto length = [&](uint8_t nibble, size_t& value) {
        value = nibble;
        for (uint8_t more = 255; nibble == 15 && more == 255;) {
            if (!from.read(at++, more)) return false;
            value += more;
        }
        return true;
    };
    while (at < from.size) {
        const uint8_t token = from.data[at++];
        size_t literals, copied;
        Bytes run;
        if (!length(token >> 4, literals) || !from.part(at, literals, run) || literals > bytes - to.size())
            return false;
        to.insert(to.end(), run.data, run.data + run.size);
        at += literals;
        if (to.size() == bytes) return true;
        uint16_t distance;
        if (!from.read(at, distance)) return false;
        at += sizeof distance;
        if (!length(token & 15, copied)) return false;
        copied += 4;
        if (distance == 0 || distance > to.size() || copied > bytes - to.size()) return false;
        for (size_t i = 0; i < copied; i++) to.push_back(to[to.size() - distance]);
    }
    return to.size() == bytes;
}

/// The parameters that one .nv.info section lists.
bool read_parameters(Bytes info, std::vector<ImageParameter>& parameters) {
    for (size_t at = 0; at + 4 <= info.size;) {
        const uint8_t format = info.data[at], attribute = info.data[at + 1];
        uint16_t length = 0;
        if (format == kFormatSized) info.read(at + 2, length);
        Bytes value;
        if (!info.part(at + 4, length, value)) return false;
        at += 4u + length;
        if (format != kFormatSized || attribute != kAttributeParameter) continue;
        // Index, ordinal, offset, then the size from bit 18 on.
        uint16_t ordinal, offset;
        uint32_t packed;
        if (!value.read(4, ordinal) || !value.read(6, offset) || !value.read(8, packed)) return false;
        if (parameters.size() <= ordinal) parameters.resize(ordinal + 1u);
        parameters[ordinal] = ImageParameter{offset, packed >> 18};
    }
    return true;
}

bool read_cubin(Bytes file, ImageKernels& result, std::string& problem) {
    problem = "a cubin in it is broken";
    Elf64_Ehdr header;
    if (!file.read(0, header) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
        header.e_ident[EI_CLASS] != ELFCLASS64) {
        return false;
    }
    std::vector<Elf64_Shdr> sections(header.e_shnum);
    for (size_t i = 0; i < sections.size(); i++) {
        if (!file.read(header.e_shoff + i * sizeof(Elf64_Shdr), sections[i])) return false;
    }
    Bytes names;
    if (header.e_shstrndx >= sections.size() ||
        !file.part(sections[header.e_shstrndx].sh_offset, sections[header.e_shstrndx].sh_size, names)) {
        return false;
    }
    for (const Elf64_Shdr& section : sections) {
        const std::string name = names.text(section.sh_name);
        if (name.compare(0, sizeof kInfo - 1, kInfo) != 0) continue;
        Bytes info;
        if (!file.part(section.sh_offset, section.sh_size, info) ||
            !read_parameters(info, result.kernels[name.substr(sizeof kInfo - 1)])) {
            return false;
        }
    }
    problem.clear();
    return true;
}

bool read_fatbin(Bytes file, std::vector<ImageKernels>& all, std::string& problem) {
    problem = "the fatbin is broken";
    FatbinHeader header;
    Bytes entries;
    if (!file.read(0, header) || !file.part(header.header_bytes, header.bytes, entries)) return false;
    std::vector<unsigned char> unpacked;
    for (size_t at = 0; at < entries.size;) {
        FatbinEntry entry;
        Bytes data;
        if (!entries.read(at, entry) || !entries.part(at + entry.header_bytes, entry.bytes, data)) return false;
        at += entry.header_bytes + size_t(entry.bytes);
        if (entry.kind != kEntryCubin) continue;
        if ((entry.flags & kEntryCompressed) != 0) {
            Bytes packed;
            // No compression makes 255 bytes of less than one: what says so is not believed.
            if (!data.part(0, entry.compressed_bytes, packed) || entry.uncompressed_bytes / 255 > packed.size ||
                !decompress(packed, size_t(entry.uncompressed_bytes), unpacked)) {
                return false;
            }
            data = Bytes{unpacked.data(), unpacked.size()};
        }
        all.emplace_back();
        all.back().architecture = entry.architecture;
        if (!read_cubin(data, all.back(), problem)) return false;
        problem = "the fatbin is broken";
    }
    problem.clear();
    return true;
}

// Byte by byte: where there is no image, there may be just a zero.
bool begins_with(const void* image, const char* magic) {
    return strncmp(static_cast<const char*>(image), magic, 4) == 0;
}
bool is_fatbin(const void* image) { return begins_with(image, "\x50\xed\x55\xba"); }

}  // namespace

bool looks_like_image(const void* image) { return is_fatbin(image) || begins_with(image, ELFMAG); }

size_t image_bytes(const void* image) {
    if (is_fatbin(image)) {
        FatbinHeader header;
        memcpy(&header, image, sizeof header);
        return header.header_bytes + size_t(header.bytes);
    }
    // The section headers are the last part of a cubin, but for program headers.
    Elf64_Ehdr header;
    memcpy(&header, image, sizeof header);
    return std::max(header.e_shoff + uint64_t(header.e_shnum) * sizeof(Elf64_Shdr),
                    header.e_phoff + uint64_t(header.e_phnum) * sizeof(Elf64_Phdr));
}

bool read_image(const void* image, size_t bytes, std::vector<ImageKernels>& all, std::string& problem) {
    all.clear();
    const Bytes file{static_cast<const unsigned char*>(image), bytes};
    if (bytes < 4 || !looks_like_image(image)) {
        problem = "neither a fatbin nor a cubin";
        return false;
    }
    if (is_fatbin(image)) return read_fatbin(file, all, problem);
    all.emplace_back();
    return read_cubin(file, all.back(), problem);
}

}  // namespace emulator
