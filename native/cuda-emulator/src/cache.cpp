#include "cache.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace emulator {
namespace {

constexpr uint32_t kWhole = 0xffffffffu;

}  // namespace

Cache::Cache(uint64_t bytes) : sets_(std::max<uint64_t>(1, (bytes >> kLineBits) / kWays)) {
    for (Set& set : sets_) {
        std::fill(std::begin(set.lines), std::end(set.lines), kNone);
        std::fill(std::begin(set.used), std::end(set.used), uint64_t{0});
    }
}

Cache::Line& Cache::find(uint64_t line) {
    // As many lines as there are sets, one behind the other, have a set each; the next as many are turned by a step, so
    // that rows which lie a power of two apart do not meet in few sets. Devices hash addresses for that.
    const uint64_t count = sets_.size(), round = line / count;
    Set& set = sets_[(line % count + round * 7) % count];
    if (!set.touched) {
        set.touched = true;
        touched_.push_back(uint32_t(&set - sets_.data()));
    }
    int way = 0;
    while (way < kWays && set.lines[way] != line) way++;
    if (way == kWays) {
        way = int(std::min_element(std::begin(set.used), std::end(set.used)) - std::begin(set.used));
        if (set.lines[way] != kNone) write_back(set.data[way]);
        set.lines[way] = line;
    }
    set.used[way] = ++clock_;
    return set.data[way];
}

void Cache::write_back(Line& line) {
    for (int i = 0; i < kSectors; i++) {
        if (line.stored[i] == 0) continue;
        written_sectors_++;
        if (line.stored[i] != kWhole && (line.there >> i & 1) == 0) read_sectors_++;
    }
    line = {};
}

void Cache::read(uint64_t address, uint32_t sectors) {
    Line& line = find(address);
    for (int i = 0; i < kSectors; i++) {
        if ((sectors & ~line.there) >> i & 1 && line.stored[i] != kWhole) read_sectors_++;
    }
    line.there |= sectors;
}

void Cache::write(uint64_t address, const uint32_t (&bytes)[kSectors]) {
    Line& line = find(address);
    for (int i = 0; i < kSectors; i++) line.stored[i] |= bytes[i];
}

void Cache::clear() {
    for (const uint32_t index : touched_) {
        Set& set = sets_[index];
        for (int way = 0; way < kWays; way++) {
            if (set.lines[way] == kNone) continue;
            write_back(set.data[way]);
            set.lines[way] = kNone;
            set.used[way] = 0;
        }
        set.touched = false;
    }
    touched_.clear();
}

uint64_t Cache::take_read_bytes() { return std::exchange(read_sectors_, 0) << kSectorBits; }
uint64_t Cache::take_written_bytes() { return std::exchange(written_sectors_, 0) << kSectorBits; }

}  // namespace emulator
