// x @ w.T in bf16 with fp32 sums, for any number of rows, over weights packed once at load: panels of 64
// columns, [panel][k / 2][64][2], so that lanes are columns and a step reads memory from front to back.
// Sums add up along K in one order: a row's result does not depend on how many rows there are.
#pragma once

#include <algorithm>

#include "linear.h"

namespace baton {

constexpr int PANEL = 64;

// A number of a packed weight: a type of its own, so that nobody takes one layout for the other.
struct Packed {
    bf16 number;
};

// k is even. A panel holds 64 rows of one weight [n, k], or 32 of each of two.
#if BATON_BF16

constexpr int64_t DEPTH = 128;    // items along K of a panel that stay in L1 while rows go by
constexpr int64_t STREAM = 4096;  // bytes that are fetched ahead where each is used once
constexpr int64_t LINES = PANEL * 4 / 64;
constexpr int PANEL_VECS = PANEL / LANES;

// out[c][PANEL] (+)= x[c] . the columns of a panel, over `pairs`. L of the panel's lines a pair are fetched
// `ahead` bytes before their use.
template <int C, int L>
void panel_tile(const bf16* x, int64_t x_step, const bf16* panel, int64_t pairs, int64_t ahead, bool more, float* out) {
    Vec acc[C][PANEL_VECS];
#pragma GCC unroll 6
    for (int c = 0; c < C; ++c)
#pragma GCC unroll 4
        for (int v = 0; v < PANEL_VECS; ++v) acc[c][v] = more ? load(out + c * PANEL + v * LANES) : Vec{};
    for (int64_t p = 0; p < pairs; ++p, panel += 2 * PANEL) {
        __m512bh w[PANEL_VECS];
#pragma GCC unroll 4
        for (int v = 0; v < PANEL_VECS; ++v) w[v] = (__m512bh)_mm512_loadu_si512(panel + v * 2 * LANES);
#pragma GCC unroll 4
        for (int l = 0; l < L; ++l)
            _mm_prefetch(reinterpret_cast<const char*>(panel) + ahead + l * 64, _MM_HINT_T0);
#pragma GCC unroll 6
        for (int c = 0; c < C; ++c) {
            int32_t both;
            std::memcpy(&both, x + c * x_step + 2 * p, 4);
            const __m512bh pair = (__m512bh)_mm512_set1_epi32(both);
#pragma GCC unroll 4
            for (int v = 0; v < PANEL_VECS; ++v) acc[c][v] = (Vec)_mm512_dpbf16_ps((__m512)acc[c][v], pair, w[v]);
        }
    }
#pragma GCC unroll 6
    for (int c = 0; c < C; ++c)
#pragma GCC unroll 4
        for (int v = 0; v < PANEL_VECS; ++v) store(out + c * PANEL + v * LANES, acc[c][v]);
}

using PanelTile = void (*)(const bf16*, int64_t, const bf16*, int64_t, int64_t, bool, float*);
template <int L>
constexpr PanelTile PANEL_TILES[MOST + 1] = {nullptr,          panel_tile<1, L>, panel_tile<2, L>, panel_tile<3, L>,
                                             panel_tile<4, L>, panel_tile<5, L>, panel_tile<6, L>};

// sums[m][PANEL] of one panel. What memory holds next is fetched while the rows go by, shared out among
// the first tiles; to fetch beyond the end does no harm.
inline void panel_sums(const Rows& in, const bf16* panel, float* sums) {
    const int64_t tiles = (in.m + MOST - 1) / MOST, depth = tiles == 1 ? in.k : DEPTH;
    for (int64_t at = 0; at < in.k; at += depth) {
        const int64_t items = std::min(depth, in.k - at);
        const bf16* here = panel + at * PANEL;
        for (int64_t tile = 0; tile < tiles; ++tile) {
            const int64_t first = tile * in.m / tiles, count = (tile + 1) * in.m / tiles - first;
            const bf16* x = in.x + first * in.step + at;
            float* out = sums + first * PANEL;
            const int64_t next = items * PANEL * static_cast<int64_t>(sizeof(bf16));
            if (tiles == 1) PANEL_TILES<4>[count](x, in.step, here, items / 2, STREAM, at, out);
            else if (tiles <= 3 && tile < 2) PANEL_TILES<2>[count](x, in.step, here, items / 2, next + tile * 128, at, out);
            else if (tiles > 3 && tile < LINES) PANEL_TILES<1>[count](x, in.step, here, items / 2, next + tile * 64, at, out);
            else PANEL_TILES<0>[count](x, in.step, here, items / 2, 0, at, out);
        }
    }
}

inline void put_lanes(bf16* to, Vec x, int64_t count) {
    if (count >= LANES) return store_vec(to, x);
    bf16 kept[LANES];
    store_vec(kept, x);
    std::memcpy(to, kept, count * sizeof(bf16));
}

inline Vec get_lanes(const bf16* from, int64_t count) {
    if (count >= LANES) return load_vec(from);
    bf16 kept[LANES] = {};
    std::memcpy(kept, from, count * sizeof(bf16));
    return load_vec(kept);
}

// Columns of one panel, all rows: bias and residual as segment_unit() adds them.
inline void panel_segment(const Rows& in, const Segment& s, int64_t panel, float* sums) {
    panel_sums(in, s.weight + panel * PANEL * in.k, sums);
    const int64_t from = panel * PANEL, columns = std::min<int64_t>(PANEL, s.n - from);
    for (int64_t m = 0; m < in.m; ++m)
        for (int64_t c = 0; c < columns; c += LANES) {
            const int64_t at = m * s.out_step + from + c, left = columns - c;
            Vec sum = load(sums + m * PANEL + c);
            if (s.bias) sum += get_lanes(s.bias + from + c, left);
            if (s.residual) sum = rounded<bf16>(sum) + get_lanes(s.residual + at, left);
            put_lanes(s.out + at, sum, left);
        }
}

// out[m][n] = silu(gate) * up, for the 32 columns of a panel that holds both.
inline void panel_gated(const Rows& in, const bf16* weight, bf16* out, int64_t n, int64_t panel, float* sums) {
    panel_sums(in, weight + panel * PANEL * in.k, sums);
    const int64_t from = panel * PANEL / 2, columns = std::min<int64_t>(PANEL / 2, n - from);
    for (int64_t m = 0; m < in.m; ++m)
        for (int64_t c = 0; c < columns; c += LANES) {
            const Vec gate = load(sums + m * PANEL + c), up = load(sums + m * PANEL + PANEL / 2 + c);
            put_lanes(out + m * n + from + c, gate / (1.0f + exp_of(-gate)) * up, columns - c);
        }
}

// out[m][n] in fp32, rounded to bf16 as the model stores it.
inline void panel_logits(const Rows& in, const bf16* weight, float* out, int64_t n, int64_t panel, float* sums) {
    panel_sums(in, weight + panel * PANEL * in.k, sums);
    const int64_t from = panel * PANEL, columns = std::min<int64_t>(PANEL, n - from);
    for (int64_t m = 0; m < in.m; ++m)
        for (int64_t c = 0; c < columns; ++c) out[m * n + from + c] = to_float(to_bf16(sums[m * PANEL + c]));
}

// Rows of one unit: all, unless there are too few panels for the threads to share.
inline int64_t unit_rows(int64_t m, int64_t panels, int64_t threads) {
    const int64_t parts = std::max<int64_t>(1, std::min(4 * threads / panels, m / (8 * MOST)));
    return (m + parts - 1) / parts;
}

inline Segment segment_from(Segment s, int64_t first) {
    s.out += first * s.out_step;
    if (s.residual) s.residual += first * s.out_step;
    return s;
}

inline Rows rows_from(const Rows& in, int64_t first, int64_t rows) {
    return {in.x + first * in.step, in.step, std::min(rows, in.m - first), in.k};
}

#endif

}  // namespace baton
