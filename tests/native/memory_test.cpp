#include "memory.h"

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "arena.h"
#include "support.h"

TEST(MemoryTest, IsAlignedAndWritable) {
    for (const int64_t bytes :
         {int64_t{0}, int64_t{1}, int64_t{64}, int64_t{1000}, int64_t{2} << 20, (int64_t{5} << 20) + 3}) {
        uint8_t* block = static_cast<uint8_t*>(lsp_allocate(bytes));
        ASSERT_NE(nullptr, block);
        EXPECT_EQ(0u, reinterpret_cast<uintptr_t>(block) % 64);
        for (int64_t i = 0; i < bytes; i++) block[i] = 1;
        lsp_free(block, bytes);
    }
    EXPECT_EQ(nullptr, lsp_allocate(-1));
    EXPECT_EQ(nullptr, lsp_allocate(int64_t{1} << 60));
    lsp_free(nullptr, 0);
}

TEST(MemoryTest, WhatIsNotForActivationsIsZeroed) {
    for (const size_t bytes : {size_t{1}, size_t{1000}, (size_t{5} << 20) + 3}) {
        uint8_t* block = static_cast<uint8_t*>(lsp::allocate(bytes));
        EXPECT_EQ(0u, reinterpret_cast<uintptr_t>(block) % 64);
        for (size_t i = 0; i < bytes; i++) ASSERT_EQ(0, block[i]);
        lsp::release(block, bytes);
    }
}

constexpr size_t kMiB = size_t{1} << 20;

TEST(ArenaTest, UsesAgainWhatWasReleased) {
    const size_t sizes[] = {3 * kMiB, kMiB, 7 * kMiB + 1, 400 << 10};
    void* first[4];
    for (int round = 0; round < 3; round++) {
        void* blocks[4];
        for (int i = 0; i < 4; i++) {
            blocks[i] = lsp::arena_allocate(sizes[i]);
            std::memset(blocks[i], i, sizes[i]);
            if (round == 0) first[i] = blocks[i];
            EXPECT_EQ(first[i], blocks[i]);
        }
        for (int i = 0; i < 4; i++) {
            EXPECT_EQ(i, *static_cast<uint8_t*>(blocks[i]));
            EXPECT_EQ(i, static_cast<uint8_t*>(blocks[i])[sizes[i] - 1]);
        }
        // In another order every time.
        for (int i = 0; i < 4; i++) lsp::arena_release(blocks[(i + round) % 4], sizes[(i + round) % 4]);
    }
}

TEST(ArenaTest, JoinsNeighbours) {
    void* blocks[3];
    for (void*& block : blocks) block = lsp::arena_allocate(2 * kMiB);
    void* behind = lsp::arena_allocate(kMiB);
    for (const int i : {0, 2, 1}) lsp::arena_release(blocks[i], 2 * kMiB);
    void* whole = lsp::arena_allocate(6 * kMiB);
    EXPECT_EQ(blocks[0], whole);
    lsp::arena_release(whole, 6 * kMiB);
    lsp::arena_release(behind, kMiB);
}

TEST(ArenaTest, KeepsOnlySoMuch) {
    void* small = lsp::arena_allocate(kMiB);
    lsp::arena_release(small, kMiB);
    const size_t kept = lsp::arena_bytes();
    EXPECT_EQ(256 * kMiB, kept);
    // One that fits nothing, and so many that one mapping does not hold them.
    void* large = lsp::arena_allocate(300 * kMiB);
    EXPECT_EQ(kept + 300 * kMiB, lsp::arena_bytes());
    lsp::arena_release(large, 300 * kMiB);
    std::vector<void*> many;
    for (int i = 0; i < 5; i++) many.push_back(lsp::arena_allocate(100 * kMiB));
    EXPECT_LT(kept, lsp::arena_bytes());
    for (void* block : many) lsp::arena_release(block, 100 * kMiB);
    EXPECT_EQ(kept, lsp::arena_bytes());
}

TEST(ArenaTest, ThreadsShareIt) {
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    for (int t = 0; t < 4; t++) {
        threads.emplace_back([t, &wrong] {
            for (int i = 0; i < 200; i++) {
                const size_t bytes = (300 << 10) + static_cast<size_t>(i * 7919 + t * 104729) % (4 * kMiB);
                uint8_t* block = static_cast<uint8_t*>(lsp::arena_allocate(bytes));
                block[0] = block[bytes - 1] = static_cast<uint8_t>(t);
                if (block[0] != t || block[bytes - 1] != t) wrong++;
                lsp::arena_release(block, bytes);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(0, wrong);
    EXPECT_THROW(lsp::arena_allocate(size_t{1} << 60), std::bad_alloc);
    lsp::arena_release(nullptr, kMiB);
}

TEST(MemoryTest, BufferGrowsAndMoves) {
    lsp::Buffer buffer(10);
    buffer.reserve(5);
    EXPECT_EQ(10u, buffer.size());
    buffer.reserve(3 << 20);
    EXPECT_EQ(size_t{3} << 20, buffer.size());
    lsp::Buffer other(std::move(buffer));
    EXPECT_NE(nullptr, other.data());
    EXPECT_THROW(other.reserve(size_t{1} << 60), std::bad_alloc);
    EXPECT_EQ(nullptr, other.data());
}
