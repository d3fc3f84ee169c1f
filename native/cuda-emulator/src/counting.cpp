#include "counting.h"

#include <dlfcn.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "errors.h"
#include "work.h"

namespace emulator {
namespace {

using detail::Access;

constexpr int kSectorBits = 5;

std::mutex guard;
std::map<std::string, KernelCounts> counted;
std::atomic<bool> active{false};
std::atomic<int> blocks_per_launch{0};

// One bit per sector of device memory that the running launch has read or written.
class Touched {
  public:
    void clear() {
        if (bits_ != nullptr) madvise(bits_, bytes(), MADV_DONTNEED);
    }
    // True the first time.
    bool touch(uintptr_t address) {
        const uintptr_t sector = (address - detail::device_map.base) >> kSectorBits;
        if (bits_ == nullptr && !reserve()) return false;
        const uint64_t bit = uint64_t{1} << sector % 64;
        std::atomic<uint64_t>& word = bits_[sector / 64];
        if ((word.load(std::memory_order_relaxed) & bit) != 0) return false;
        return (word.fetch_or(bit, std::memory_order_relaxed) & bit) == 0;
    }

  private:
    std::atomic<uint64_t>* bits_ = nullptr;

    static size_t bytes() { return detail::device_map.bytes >> kSectorBits >> 3; }
    // Only with `guard` held.
    bool reserve() {
        void* memory =
            mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) return false;
        bits_ = static_cast<std::atomic<uint64_t>*>(memory);
        return true;
    }
};
Touched read_sectors, written_sectors;

bool is_global(Access access) { return access == Access::load_global || access == Access::store_global; }

// Different values among `count` of them, which are sorted here.
int different(uintptr_t* values, int count) {
    std::sort(values, values + count);
    return int(std::unique(values, values + count) - values);
}

// Shared memory serves 32 lanes at once up to 4 bytes each, half of them with 8 and a quarter with 16 bytes. Each of
// its 32 banks gives one word of 4 bytes per wavefront.
void count_wavefronts(const uintptr_t* addresses, uint32_t lanes, int bytes, Traffic& traffic) {
    const int words = bytes <= 4 ? 1 : bytes / 4, together = 32 / words;
    for (int first = 0; first < 32; first += together) {
        uintptr_t all[32];
        int count = 0;
        for (int lane = first; lane < first + together; lane++) {
            if ((lanes >> lane & 1) == 0) continue;
            for (int word = 0; word < words; word++) all[count++] = addresses[lane] / 4 + uintptr_t(word);
        }
        if (count == 0) continue;
        count = different(all, count);
        int in_bank[32] = {}, most = 0;
        for (int i = 0; i < count; i++) most = std::max(most, ++in_bank[all[i] % 32]);
        traffic.units += uint64_t(most);
        traffic.least += 1;
    }
}

}  // namespace

bool Site::operator<(const Site& other) const {
    if (address != other.address) return address < other.address;
    if (access != other.access) return access < other.access;
    return bytes < other.bytes;
}

bool counting() { return active.load(std::memory_order_relaxed); }
int counted_blocks_per_launch() { return blocks_per_launch; }

void count_launch(const char* kernel, int64_t blocks) {
    const std::lock_guard<std::mutex> lock(guard);
    KernelCounts& counts = counted[kernel];
    counts.launches++;
    counts.blocks += uint64_t(blocks);
    read_sectors.clear();
    written_sectors.clear();
}

void Counter::access(const Lane& lane, Access access, const void* pointer, size_t bytes, const void* site) {
    std::vector<Visits>& open = open_[lane.warp->number];
    const Site key{site, access, uint16_t(bytes)};
    size_t at = 0;
    while (at < open.size() &&
           (open[at].site.address != site || open[at].site.access != access || open[at].site.bytes != key.bytes)) {
        at++;
    }
    if (at == open.size()) open.push_back(Visits{key, {}, {}});
    Visits& visits = open[at];
    const uint32_t visit = visits.done[lane.number]++;
    if (visit >= visits.requests.size()) visits.requests.resize(visit + 1);
    visits.requests[visit].lanes |= 1u << lane.number;
    visits.requests[visit].addresses[lane.number] = reinterpret_cast<uintptr_t>(pointer);
}

void Counter::warp_met(const Warp& warp) {
    for (Visits& visits : open_[warp.number]) {
        for (const Request& request : visits.requests) add(visits.site, request);
        visits.requests.clear();
        std::fill(std::begin(visits.done), std::end(visits.done), 0);
    }
}

void Counter::add(const Site& site, const Request& request) {
    Traffic& traffic = counts_.sites[site];
    traffic.requests++;
    uintptr_t places[32];
    int count = 0;
    for (int lane = 0; lane < 32; lane++) {
        if ((request.lanes >> lane & 1) != 0) places[count++] = request.addresses[lane];
    }
    traffic.bytes += uint64_t(count) * site.bytes;
    if (!is_global(site.access)) {
        count_wavefronts(request.addresses, request.lanes, site.bytes, traffic);
        return;
    }
    // Accesses are aligned to their size: they overlap only if they are the same.
    count = different(places, count);
    traffic.least += (uint64_t(count) * site.bytes + (1 << kSectorBits) - 1) >> kSectorBits;
    for (int i = 0; i < count; i++) places[i] >>= kSectorBits;
    count = different(places, count);
    traffic.units += uint64_t(count);
    const bool load = site.access == Access::load_global;
    const std::lock_guard<std::mutex> lock(guard);
    for (int i = 0; i < count; i++) {
        if ((load ? read_sectors : written_sectors).touch(places[i] << kSectorBits)) {
            (load ? counts_.read_sectors : counts_.written_sectors)++;
        }
    }
}

void Counter::end_block(const char* kernel, int warps, Block& block) {
    for (int i = 0; i < warps; i++) {
        warp_met(block.warp(i));
        open_[i].clear();
    }
    const std::lock_guard<std::mutex> lock(guard);
    KernelCounts& all = counted[kernel];
    all.counted_blocks++;
    all.mma_f16 += counts_.mma_f16;
    all.mma_s8 += counts_.mma_s8;
    all.async_bytes += counts_.async_bytes;
    all.read_sectors += counts_.read_sectors;
    all.written_sectors += counts_.written_sectors;
    for (const auto& [site, traffic] : counts_.sites) {
        Traffic& sum = all.sites[site];
        sum.requests += traffic.requests;
        sum.bytes += traffic.bytes;
        sum.units += traffic.units;
        sum.least += traffic.least;
    }
    counts_ = {};
}

namespace {

void name_site(const void* address, char (&text)[128]) {
    Dl_info info;
    if (dladdr(address, &info) == 0 || info.dli_fname == nullptr) {
        snprintf(text, sizeof text, "%p", address);
        return;
    }
    const char* slash = strrchr(info.dli_fname, '/');
    snprintf(text, sizeof text, "%s+%#zx", slash == nullptr ? info.dli_fname : slash + 1,
             size_t(static_cast<const char*>(address) - static_cast<const char*>(info.dli_fbase)));
}

LspEmulatorCount total_of(const std::string& name, const KernelCounts& counts) {
    LspEmulatorCount total{};
    snprintf(total.kernel, sizeof total.kernel, "%s", name.c_str());
    total.launches = counts.launches;
    total.blocks = counts.blocks;
    total.counted_blocks = counts.counted_blocks;
    total.load_different_sectors = counts.read_sectors;
    total.store_different_sectors = counts.written_sectors;
    total.mma_f16 = counts.mma_f16;
    total.mma_s8 = counts.mma_s8;
    total.async_bytes = counts.async_bytes;
    for (const auto& [site, traffic] : counts.sites) {
        switch (site.access) {
            case Access::load_global:
                total.load_bytes += traffic.bytes;
                total.load_sectors += traffic.units;
                total.load_least_sectors += traffic.least;
                break;
            case Access::store_global:
                total.store_bytes += traffic.bytes;
                total.store_sectors += traffic.units;
                total.store_least_sectors += traffic.least;
                break;
            case Access::load_shared:
            case Access::store_shared:
                total.shared_requests += traffic.requests;
                total.shared_wavefronts += traffic.units;
                total.shared_least_wavefronts += traffic.least;
                break;
        }
    }
    return total;
}

// For programs that know nothing of the counters: LSP_EMULATOR_COUNT=1 prints a table at the end.
struct FromEnvironment {
    bool wanted = false;
    FromEnvironment() {
        const char* text = getenv("LSP_EMULATOR_COUNT");
        wanted = text != nullptr && strcmp(text, "0") != 0;
        if (wanted) active = true;
    }
    ~FromEnvironment() {
        if (!wanted) return;
        fprintf(stderr, "%-40s %8s %10s %10s %7s %10s %7s %10s %9s %9s\n", "kernel", "launches", "blocks", "loaded kB",
                "sectors", "stored kB", "sectors", "wavefronts", "conflicts", "mma");
        for (const auto& [name, counts] : counted) {
            const LspEmulatorCount t = total_of(name, counts);
            const auto share = [](uint64_t least, uint64_t all) {
                return all == 0 ? 100.0 : 100.0 * double(least) / double(all);
            };
            fprintf(stderr, "%-40s %8llu %10llu %10.1f %6.1f%% %10.1f %6.1f%% %10llu %9llu %9llu\n", t.kernel,
                    (unsigned long long)t.launches, (unsigned long long)t.blocks, double(t.load_sectors) * 0.032,
                    share(t.load_least_sectors, t.load_sectors), double(t.store_sectors) * 0.032,
                    share(t.store_least_sectors, t.store_sectors), (unsigned long long)t.shared_wavefronts,
                    (unsigned long long)(t.shared_wavefronts - t.shared_least_wavefronts),
                    (unsigned long long)(t.mma_f16 + t.mma_s8));
        }
    }
} from_environment;

}  // namespace
}  // namespace emulator

using namespace emulator;

void lspEmulatorCountBegin(int blocks_of_a_launch) {
    const std::lock_guard<std::recursive_mutex> api(api_lock());
    finish_all();
    const std::lock_guard<std::mutex> lock(guard);
    counted.clear();
    blocks_per_launch = std::max(0, blocks_of_a_launch);
    active = true;
}

int lspEmulatorCountEnd(LspEmulatorCount* counts, int capacity) {
    const std::lock_guard<std::recursive_mutex> api(api_lock());
    finish_all();
    active = false;
    const std::lock_guard<std::mutex> lock(guard);
    int index = 0;
    for (const auto& [name, kernel] : counted) {
        if (index < capacity) counts[index] = total_of(name, kernel);
        index++;
    }
    return index;
}

int lspEmulatorCountSites(LspEmulatorSite* sites, int capacity) {
    const std::lock_guard<std::mutex> lock(guard);
    int index = 0;
    for (const auto& [name, kernel] : counted) {
        for (const auto& [site, traffic] : kernel.sites) {
            if (index < capacity) {
                LspEmulatorSite& out = sites[index];
                out = {};
                snprintf(out.kernel, sizeof out.kernel, "%s", name.c_str());
                name_site(site.address, out.place);
                out.access = int32_t(site.access);
                out.lane_bytes = site.bytes;
                out.requests = traffic.requests;
                out.units = traffic.units;
                out.least_units = traffic.least;
            }
            index++;
        }
    }
    return index;
}
