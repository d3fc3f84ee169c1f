#include "cache.h"

#include <algorithm>
#include <new>
#include <utility>

namespace emulator {
namespace {

constexpr uint64_t kEveryWay = 0x1111111111111111u, kFirstOrder = 0xfedcba9876543210u;
constexpr uint32_t kAllBytes = 0xffffffffu;

}  // namespace

Cache::Cache(uint64_t bytes)
    : bytes_(bytes),
      sets_(std::max<uint64_t>(1, (bytes >> kLineBits) / kWays)),
      stored_(static_cast<StoredBytes*>(calloc(sets_.size() * kWays, sizeof(StoredBytes)))) {
    if (stored_ == nullptr) throw std::bad_alloc();
}

Cache::Place Cache::find(uint32_t line) {
    // As many lines as there are sets, one behind the other, have a set each; the next as many are turned by a step, so
    // that rows which lie a power of two apart do not meet in few sets. Devices hash addresses for that.
    const uint64_t count = sets_.size(), index = (line + line / count * 7) % count;
    Set& set = sets_[index];
    if (set.order == 0) {
        set.order = kFirstOrder;
        used_.push_back(uint32_t(index));
    }
    int way = 0, place;
    while (way < kWays && set.lines[way] != line + 1) way++;
    if (way < kWays) {
        // The lowest four bits that are zero.
        const uint64_t difference = set.order ^ uint64_t(way) * kEveryWay;
        place = __builtin_ctzll((difference - kEveryWay) & ~difference & kEveryWay << 3) / 4;
    } else {
        place = kWays - 1;
        way = int(set.order >> 60);
        if (set.lines[way] != 0) write_back(set, way);
        set.lines[way] = line + 1;
    }
    const uint64_t newer = (uint64_t{1} << place * 4) - 1, older = ~(newer << 4 | 15);
    set.order = (set.order & older) | (set.order & newer) << 4 | uint64_t(way);
    return Place{set, stored_[index * kWays + uint64_t(way)], way * kSectors};
}

void Cache::write_back(Set& set, int way) {
    const uint64_t all = uint64_t{15} << way * kSectors, stored = set.stored & all;
    if (stored != 0) {
        const uint64_t partly = stored & ~set.whole;
        written_sectors_ += uint64_t(__builtin_popcountll(stored));
        read_sectors_ += uint64_t(__builtin_popcountll(partly & ~set.there));
        if (partly != 0) {
            for (uint32_t& bytes : stored_[uint64_t(&set - sets_.data()) * kWays + uint64_t(way)]) bytes = 0;
        }
    }
    set.there &= ~all;
    set.stored &= ~all;
    set.whole &= ~all;
}

void Cache::read(uint32_t line, uint32_t sectors) {
    const Place place = find(line);
    const uint64_t bits = uint64_t(sectors) << place.shift;
    read_sectors_ += uint64_t(__builtin_popcountll(bits & ~place.set.there & ~place.set.whole));
    place.set.there |= bits;
}

void Cache::write(uint32_t line, const uint32_t (&bytes)[kSectors]) {
    const Place place = find(line);
    for (int i = 0; i < kSectors; i++) {
        const uint64_t bit = uint64_t{1} << (place.shift + i);
        if (bytes[i] == 0 || (place.set.whole & bit) != 0) continue;
        place.set.stored |= bit;
        const uint32_t all = bytes[i] == kAllBytes ? kAllBytes : place.bytes[i] | bytes[i];
        if (all == kAllBytes) place.set.whole |= bit;
        // Of a whole sector the bytes are not looked at any more.
        place.bytes[i] = all == kAllBytes ? 0 : all;
    }
}

void Cache::clear() {
    for (const uint32_t index : used_) {
        Set& set = sets_[index];
        for (int way = 0; way < kWays; way++) {
            if (set.lines[way] != 0) write_back(set, way);
        }
        set = {};
    }
    used_.clear();
}

uint64_t Cache::take_read_bytes() { return std::exchange(read_sectors_, 0) << kSectorBits; }
uint64_t Cache::take_written_bytes() { return std::exchange(written_sectors_, 0) << kSectorBits; }

}  // namespace emulator
