#include "arena.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <mutex>
#include <new>
#include <vector>

#include "memory.h"

namespace lsp {
namespace {

constexpr size_t kSmallest = size_t{256} << 10;
constexpr size_t kGranule = 4096;
// Address space: pages count from when they are first written.
constexpr size_t kChunk = size_t{256} << 20;

// A mapping and its free ranges, by offset; neighbouring ranges are always one.
struct Chunk {
    uint8_t* data;
    size_t size;
    std::map<size_t, size_t> free;

    bool empty() const { return free.size() == 1 && free.begin()->second == size; }
};

class Arena {
  public:
    void* take(size_t bytes) {
        const std::lock_guard<std::mutex> guard(mutex_);
        for (Chunk& chunk : chunks_) {
            // The lowest range that fits: what is used again is what was used before.
            for (auto range = chunk.free.begin(); range != chunk.free.end(); ++range) {
                if (range->second < bytes) continue;
                const size_t offset = range->first, rest = range->second - bytes;
                // Before the other is gone: this may throw.
                if (rest != 0) chunk.free.emplace(offset + bytes, rest);
                chunk.free.erase(offset);
                return chunk.data + offset;
            }
        }
        const size_t size = std::max(bytes, kChunk);
        Chunk chunk{nullptr, size, {}};
        if (size != bytes) chunk.free.emplace(bytes, size - bytes);
        chunks_.reserve(chunks_.size() + 1);
        chunk.data = static_cast<uint8_t*>(allocate(size));
        chunks_.push_back(std::move(chunk));
        return chunks_.back().data;
    }

    void give(void* block, size_t bytes) noexcept {
        const std::lock_guard<std::mutex> guard(mutex_);
        uint8_t* start = static_cast<uint8_t*>(block);
        const auto chunk = std::find_if(chunks_.begin(), chunks_.end(), [&](const Chunk& candidate) {
            return start >= candidate.data && start < candidate.data + candidate.size;
        });
        insert(*chunk, static_cast<size_t>(start - chunk->data), bytes);
        // One is kept, unless it was made for a larger block than usual.
        const auto empty = std::count_if(chunks_.begin(), chunks_.end(), [](const Chunk& c) { return c.empty(); });
        if (chunk->empty() && (empty > 1 || chunk->size > kChunk)) {
            lsp::release(chunk->data, chunk->size);
            chunks_.erase(chunk);
        }
    }

    size_t bytes() {
        const std::lock_guard<std::mutex> guard(mutex_);
        size_t sum = 0;
        for (const Chunk& chunk : chunks_) sum += chunk.size;
        return sum;
    }

  private:
    static void insert(Chunk& chunk, size_t offset, size_t bytes) noexcept {
        auto next = chunk.free.lower_bound(offset);
        if (next != chunk.free.begin()) {
            const auto before = std::prev(next);
            if (before->first + before->second == offset) {
                before->second += bytes;
                if (next != chunk.free.end() && next->first == offset + bytes) {
                    before->second += next->second;
                    chunk.free.erase(next);
                }
                return;
            }
        }
        if (next != chunk.free.end() && next->first == offset + bytes) {
            // The node moves to its new key: nothing is allocated, nothing can fail.
            auto node = chunk.free.extract(next);
            node.key() = offset;
            node.mapped() += bytes;
            chunk.free.insert(std::move(node));
            return;
        }
        chunk.free.emplace(offset, bytes);
    }

    std::mutex mutex_;
    std::vector<Chunk> chunks_;
};

// Never destroyed: a host may release tensors while the process ends.
Arena& arena() {
    static Arena* instance = new Arena;
    return *instance;
}

size_t rounded(size_t bytes) { return (bytes + kGranule - 1) / kGranule * kGranule; }

}  // namespace

void* arena_allocate(size_t bytes) {
    if (bytes > (size_t{1} << 47)) throw std::bad_alloc();
    return bytes < kSmallest ? allocate(bytes) : arena().take(rounded(bytes));
}

void arena_release(void* block, size_t bytes) noexcept {
    if (block == nullptr) return;
    if (bytes < kSmallest) {
        release(block, bytes);
    } else {
        arena().give(block, rounded(bytes));
    }
}

size_t arena_bytes() { return arena().bytes(); }

}  // namespace lsp
