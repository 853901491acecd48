// Products of few rows, one OpenMP region each: see linear.h.
#include "linear.h"

using baton::bf16;

// Rows of x up to which the functions below may be called; 0 where they do not exist.
extern "C" int64_t baton_linear_rows() {
#if BATON_BF16
    return baton::FEW;
#else
    return 0;
#endif
}

#if BATON_BF16

extern "C" void baton_linear(const bf16* x, int64_t x_step, int64_t m, int64_t k, const baton::Segment* segments,
                             int64_t count, int64_t threads) {
    const baton::Rows in{x, x_step, m, k};
    int64_t total = 0, units = 0, columns[4], begins[5] = {0};
    for (int64_t s = 0; s < count; ++s) total += segments[s].n;
    for (int64_t s = 0; s < count; ++s) {
        columns[s] = baton::unit_columns(total, baton::ROWS, threads);
        units += (segments[s].n + columns[s] - 1) / columns[s];
        begins[s + 1] = units;
    }
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int64_t u = 0; u < units; ++u) {
        int64_t s = 0;
        while (u >= begins[s + 1]) ++s;
        const int64_t from = (u - begins[s]) * columns[s];
        baton::segment_unit(in, segments[s], from, std::min(from + columns[s], segments[s].n));
    }
}

// out[m, n] = silu(x @ gate.T) * (x @ up.T)
extern "C" void baton_gated(const bf16* x, int64_t x_step, int64_t m, int64_t k, const bf16* gate, const bf16* up,
                            bf16* out, int64_t n, int64_t threads) {
    const baton::Rows in{x, x_step, m, k};
    const int64_t columns = baton::unit_columns(n, 2, threads);
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int64_t from = 0; from < n; from += columns)
        baton::gated_unit(in, gate, up, out, n, from, std::min(from + columns, n));
}

#endif
