#include "counting.h"

#include <algorithm>
#include <utility>

#include "counts.h"

namespace emulator {
namespace {

using detail::Access;

constexpr int kSectorBits = Cache::kSectorBits, kLineBits = Cache::kLineBits;
constexpr size_t kFirstTable = 256;  // a power of two

bool is_global(Access access) { return access == Access::load_global || access == Access::store_global; }

// Different values among `count` of them, which are sorted here. Lanes mostly come in order.
int different(uintptr_t* values, int count) {
    if (!std::is_sorted(values, values + count)) std::sort(values, values + count);
    return int(std::unique(values, values + count) - values);
}

int wavefronts_of(uintptr_t* words, int count) {
    count = different(words, count);
    int in_bank[32] = {}, most = 0;
    for (int i = 0; i < count; i++) most = std::max(most, ++in_bank[words[i] % 32]);
    return most;
}

// Shared memory serves 32 lanes at once up to 4 bytes each, half of them with 8 and a quarter with 16 bytes. Each of
// its 32 banks gives one word of 4 bytes per wavefront.
void count_wavefronts(const uintptr_t* addresses, uint32_t lanes, int bytes, Traffic& traffic) {
    const int words = bytes <= 4 ? 1 : bytes / 4, together = 32 / words;
    for (int first = 0; first < 32; first += together) {
        uintptr_t all[32];
        int count = 0;
        uint32_t banks = 0;
        bool conflict = false;
        for (int lane = first; lane < first + together; lane++) {
            if ((lanes >> lane & 1) == 0) continue;
            for (int word = 0; word < words; word++) {
                const uintptr_t at = addresses[lane] / 4 + uintptr_t(word);
                if (count > 0 && at == all[count - 1]) continue;
                all[count++] = at;
                conflict |= (banks >> at % 32 & 1) != 0;
                banks |= 1u << at % 32;
            }
        }
        if (count == 0) continue;
        // Two lanes in a bank: for the same word, or one behind the other.
        traffic.units += uint64_t(conflict ? wavefronts_of(all, count) : 1);
        traffic.least += 1;
    }
}

size_t hash_of(const Site& site) {
    const uintptr_t address = reinterpret_cast<uintptr_t>(site.address);
    return size_t(address ^ address >> 9 ^ uintptr_t(site.access) << 5 ^ uintptr_t(site.bytes) << 3);
}

}  // namespace

bool Site::operator<(const Site& other) const {
    if (address != other.address) return address < other.address;
    if (access != other.access) return access < other.access;
    return bytes < other.bytes;
}

Counter::Counter() : table_(kFirstTable, -1) {}

void Counter::begin_block(const KernelRegistration* kernel) {
    if (kernel == kernel_) return;
    kernel_ = kernel;
    sites_.clear();
    std::fill(table_.begin(), table_.end(), -1);
    for (WarpLog& log : logs_) log.visits.clear();
}

int Counter::number_of(const Site& site) {
    const size_t mask = table_.size() - 1;
    for (size_t slot = hash_of(site);; slot++) {
        int& number = table_[slot & mask];
        if (number >= 0) {
            if (sites_[size_t(number)].site == site) return number;
            continue;
        }
        number = int(sites_.size());
        sites_.push_back(SiteTraffic{site, {}});
        if (sites_.size() * 2 > table_.size()) {
            table_.assign(table_.size() * 2, -1);
            for (int i = 0; i < int(sites_.size()); i++) {
                size_t slot = hash_of(sites_[size_t(i)].site);
                while (table_[slot & (table_.size() - 1)] >= 0) slot++;
                table_[slot & (table_.size() - 1)] = i;
            }
        }
        return int(sites_.size()) - 1;
    }
}

void Counter::access(const Lane& lane, Access access, const void* pointer, size_t bytes, const void* site) {
    WarpLog& log = logs_[lane.warp->number];
    const int number = number_of(Site{site, access, uint16_t(bytes)});
    if (size_t(number) >= log.visits.size()) log.visits.resize(size_t(number) + 1);
    Visits& visits = log.visits[size_t(number)];
    int request;
    if (visits.first < 0) {
        log.sites.push_back(number);
        std::fill(std::begin(visits.of_lane), std::end(visits.of_lane), -1);
        request = -1;
    } else {
        const int before = visits.of_lane[lane.number];
        request = before < 0 ? visits.first : log.requests[size_t(before)].next;
    }
    if (request < 0) {
        request = int(log.requests.size());
        Request& added = log.requests.emplace_back();
        added.lanes = 0;
        added.site = number;
        added.next = -1;
        if (visits.first < 0) {
            visits.first = request;
        } else {
            log.requests[size_t(visits.last)].next = request;
        }
        visits.last = request;
    }
    visits.of_lane[lane.number] = request;
    log.requests[size_t(request)].lanes |= 1u << lane.number;
    log.requests[size_t(request)].addresses[lane.number] = reinterpret_cast<uintptr_t>(pointer);
}

void Counter::warp_met(const Warp& warp) {
    WarpLog& log = logs_[warp.number];
    if (log.requests.empty()) return;
    for (const Request& request : log.requests) add(request);
    log.requests.clear();
    for (const int site : log.sites) log.visits[size_t(site)].first = -1;
    log.sites.clear();
}

void Counter::add(const Request& request) {
    SiteTraffic& sum = sites_[size_t(request.site)];
    sum.traffic.requests++;
    sum.traffic.bytes += uint64_t(__builtin_popcount(request.lanes)) * sum.site.bytes;
    if (is_global(sum.site.access)) {
        add_global(sum.site, request, sum.traffic);
    } else {
        count_wavefronts(request.addresses, request.lanes, sum.site.bytes, sum.traffic);
    }
}

void Counter::add_global(const Site& site, const Request& request, Traffic& traffic) {
    uintptr_t places[32];
    int count = 0;
    for (uint32_t lanes = request.lanes; lanes != 0; lanes &= lanes - 1) {
        places[count++] = request.addresses[__builtin_ctz(lanes)] - detail::device_map.base;
    }
    // Accesses are aligned to their size: they overlap only if they are the same.
    count = different(places, count);
    traffic.least += (uint64_t(count) * site.bytes + (1 << kSectorBits) - 1) >> kSectorBits;
    const bool load = site.access == Access::load_global;
    // Line by line, and sectors by words of 64: places are sorted.
    for (int i = 0; i < count;) {
        const uintptr_t word = places[i] >> (kSectorBits + 6);
        uint64_t sectors = 0;
        while (i < count && places[i] >> (kSectorBits + 6) == word) {
            const uintptr_t line = places[i] >> kLineBits;
            uint32_t bytes[Cache::kSectors] = {}, touched = 0;
            for (; i < count && places[i] >> kLineBits == line; i++) {
                const int sector = int(places[i] >> kSectorBits) % Cache::kSectors;
                touched |= 1u << sector;
                bytes[sector] |= ((1u << site.bytes) - 1) << (places[i] & ((1 << kSectorBits) - 1));
            }
            sectors |= uint64_t(touched) << (line % (64 / Cache::kSectors) * Cache::kSectors);
            if (modelled_cache == nullptr) continue;
            if (load) {
                modelled_cache->read(uint32_t(line), touched);
            } else {
                modelled_cache->write(uint32_t(line), bytes);
            }
        }
        traffic.units += uint64_t(__builtin_popcountll(sectors));
        (load ? counts_.read_sectors : counts_.written_sectors) +=
            uint64_t((load ? sectors_read : sectors_written).touch(word, sectors));
    }
}

void Counter::end_block(int warps, Block& block) {
    for (int i = 0; i < warps; i++) warp_met(block.warp(i));
    std::vector<std::pair<Site, Traffic>> sites;
    for (SiteTraffic& site : sites_) {
        if (site.traffic.requests != 0) sites.emplace_back(site.site, std::exchange(site.traffic, Traffic{}));
    }
    add_block(kernel_->name, counts_, sites);
    counts_ = {};
}

}  // namespace emulator
