// Packs weights into panels and back, and multiplies with them, one OpenMP region a call: see packed.h.
#include "packed.h"

#include <sys/mman.h>

#include <vector>

#if BATON_BF16

using namespace baton;

// Calls copy(packed, plain) for all pairs of the columns of all panels; columns beyond n are left out.
template <class Copy>
static void each_pair(const bf16* first, const bf16* second, bf16* items, int64_t n, int64_t k, int64_t threads,
                      Copy copy) {
    const int64_t width = second ? PANEL / 2 : PANEL, panels = (n + width - 1) / width;
#pragma omp parallel for num_threads(threads)
    for (int64_t panel = 0; panel < panels; ++panel)
        for (int64_t at = 0; at < k; at += 32)  // whole lines of both
            for (int64_t c = 0; c < PANEL; ++c) {
                const int64_t row = panel * width + c % width;
                if (row >= n) continue;
                const bf16* plain = (c < width ? first : second) + row * k;
                for (int64_t i = at; i < std::min(at + 32, k); i += 2)
                    copy(items + panel * PANEL * k + i * PANEL + c * 2, plain + i);
            }
}

// first [n, k], or first and second, into zeroed memory.
extern "C" void baton_pack(const bf16* first, const bf16* second, bf16* items, int64_t n, int64_t k, int64_t threads) {
    each_pair(first, second, items, n, k, threads, [](bf16* to, const bf16* from) { std::memcpy(to, from, 4); });
}

extern "C" void baton_unpack(bf16* first, bf16* second, const bf16* items, int64_t n, int64_t k, int64_t threads) {
    each_pair(first, second, const_cast<bf16*>(items), n, k, threads, [](const bf16* from, const bf16* to) {
        std::memcpy(const_cast<bf16*>(to), from, 4);
    });
}

// Where the system has huge pages, they save the walks through page tables.
extern "C" void baton_huge_pages(void* memory, int64_t bytes) {
#if defined(MADV_HUGEPAGE)
    madvise(memory, bytes, MADV_HUGEPAGE);
#endif
}

template <class Work>
static void spread_panels(const Rows& in, int64_t panels, int64_t threads, Work work) {
    const int64_t rows = unit_rows(in.m, panels, threads), parts = (in.m + rows - 1) / rows;
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> sums(rows * PANEL);
#pragma omp for schedule(dynamic)
        for (int64_t u = 0; u < panels * parts; ++u) work(u / parts, u % parts * rows, rows, sums.data());
    }
}

// segment->weight is packed.
extern "C" void baton_panels(const bf16* x, int64_t m, int64_t k, const Segment* segment, int64_t threads) {
    const Rows in{x, k, m, k};
    spread_panels(in, (segment->n + PANEL - 1) / PANEL, threads, [&](int64_t panel, int64_t first, int64_t rows, float* sums) {
        panel_segment(rows_from(in, first, rows), segment_from(*segment, first), panel, sums);
    });
}

// out[m, n] = silu(x @ gate.T) * (x @ up.T), both packed together
extern "C" void baton_gated_panels(const bf16* x, int64_t m, int64_t k, const bf16* weight, bf16* out, int64_t n,
                                   int64_t threads) {
    const Rows in{x, k, m, k};
    spread_panels(in, (n + PANEL / 2 - 1) / (PANEL / 2), threads, [&](int64_t panel, int64_t first, int64_t rows, float* sums) {
        panel_gated(rows_from(in, first, rows), weight, out + first * n, n, panel, sums);
    });
}

#endif
