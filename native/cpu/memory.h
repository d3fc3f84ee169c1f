// Aligned memory for weights, tensors and scratch.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lsp {

constexpr size_t kAlignment = 64;

// Zeroed, 64-byte aligned; blocks of 2 MiB and more ask for huge pages. Throws std::bad_alloc.
void* allocate(size_t bytes);
void release(void* block, size_t bytes) noexcept;

// Bytes of the second-level cache of one core; 1 MiB where the system does not say.
int64_t second_level_cache();

// A block that grows and never shrinks; growing loses the contents.
class Buffer {
  public:
    Buffer() = default;
    explicit Buffer(size_t bytes) { reserve(bytes); }
    ~Buffer() { release(data_, size_); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    Buffer(Buffer&& other) noexcept : data_(other.data_), size_(other.size_) {
        other.data_ = nullptr;
        other.size_ = 0;
    }

    void* reserve(size_t bytes);
    // Hands the block to the caller, who releases it.
    uint8_t* detach() {
        uint8_t* block = data();
        data_ = nullptr;
        size_ = 0;
        return block;
    }
    uint8_t* data() const { return static_cast<uint8_t*>(data_); }
    size_t size() const { return size_; }

  private:
    void* data_ = nullptr;
    size_t size_ = 0;
};

}  // namespace lsp
