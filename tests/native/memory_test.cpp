#include "memory.h"

#include "support.h"

TEST(MemoryTest, IsAlignedZeroedAndWritable) {
    for (const int64_t bytes :
         {int64_t{0}, int64_t{1}, int64_t{64}, int64_t{1000}, int64_t{2} << 20, (int64_t{5} << 20) + 3}) {
        uint8_t* block = static_cast<uint8_t*>(lsp_allocate(bytes));
        ASSERT_NE(nullptr, block);
        EXPECT_EQ(0u, reinterpret_cast<uintptr_t>(block) % 64);
        for (int64_t i = 0; i < bytes; i += 97) ASSERT_EQ(0, block[i]);
        for (int64_t i = 0; i < bytes; i++) block[i] = 1;
        lsp_free(block, bytes);
    }
    EXPECT_EQ(nullptr, lsp_allocate(-1));
    EXPECT_EQ(nullptr, lsp_allocate(int64_t{1} << 60));
    lsp_free(nullptr, 0);
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
