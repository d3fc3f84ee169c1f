#include "counts.h"

#include <dlfcn.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "errors.h"
#include "work.h"

namespace emulator {

TouchedSectors sectors_read, sectors_written;
Cache* modelled_cache = nullptr;

namespace {

using detail::Access;

std::mutex guard;
std::map<std::string, KernelCounts> counted;
std::atomic<bool> active{false};
std::atomic<int> blocks_per_launch{0};
uint64_t cache_bytes = 0;
std::unique_ptr<Cache> cache;

// The bits of all of the device's sectors; pages that were never touched take no memory.
size_t bitmap_bytes() { return detail::device_map.bytes >> Cache::kSectorBits >> 3; }

}  // namespace

bool TouchedSectors::reserve() {
    if (bits_ != nullptr) return true;
    void* memory =
        mmap(nullptr, bitmap_bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return false;
    bits_ = static_cast<std::atomic<uint64_t>*>(memory);
    return true;
}

void TouchedSectors::clear() {
    if (bits_ != nullptr) madvise(bits_, bitmap_bytes(), MADV_DONTNEED);
}

bool counting() { return active.load(std::memory_order_relaxed); }
int counted_blocks_per_launch() { return blocks_per_launch; }
bool counting_cache() { return counting() && modelled_cache != nullptr; }

void count_launch(const char* kernel, int64_t blocks) {
    const std::lock_guard<std::mutex> lock(guard);
    KernelCounts& counts = counted[kernel];
    counts.launches++;
    counts.blocks += uint64_t(blocks);
    for (TouchedSectors* sectors : {&sectors_read, &sectors_written}) {
        if (detail::device_map.bytes != 0 && sectors->reserve()) sectors->clear();
    }
}

void count_launch_end(const char* kernel) {
    if (modelled_cache == nullptr) return;
    modelled_cache->clear();
    const std::lock_guard<std::mutex> lock(guard);
    KernelCounts& counts = counted[kernel];
    counts.memory_read_bytes += modelled_cache->take_read_bytes();
    counts.memory_written_bytes += modelled_cache->take_written_bytes();
}

void add_block(const char* kernel, const KernelCounts& counts, const std::vector<std::pair<Site, Traffic>>& sites) {
    const std::lock_guard<std::mutex> lock(guard);
    KernelCounts& all = counted[kernel];
    all.counted_blocks++;
    all.mma_f16 += counts.mma_f16;
    all.mma_s8 += counts.mma_s8;
    all.async_bytes += counts.async_bytes;
    all.read_sectors += counts.read_sectors;
    all.written_sectors += counts.written_sectors;
    for (const auto& [site, traffic] : sites) all.sites[site] += traffic;
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
    total.memory_read_bytes = counts.memory_read_bytes;
    total.memory_written_bytes = counts.memory_written_bytes;
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
    if (cache == nullptr || cache->bytes() != cache_bytes)
        cache.reset(cache_bytes == 0 ? nullptr : new Cache(cache_bytes));
    modelled_cache = cache.get();
    active = true;
}

void lspEmulatorCountCache(uint64_t bytes) {
    const std::lock_guard<std::recursive_mutex> api(api_lock());
    cache_bytes = bytes;
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
