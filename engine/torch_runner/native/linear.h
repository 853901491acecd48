// x @ w.T in bf16 with fp32 sums. Both operands are contiguous along K, which is what the dot-product
// instruction wants, so weights stay as they are: no packing, no second copy.
// A tile is 4 weight rows times up to 6 rows of x, and each weight is read from memory once.
#pragma once

#include <algorithm>

#include "dots.h"

namespace baton {

// One weight [n, k] and where its outputs go: out[m * out_step + column].
struct Segment {
    const bf16* weight;
    const bf16* bias;      // may be null
    const bf16* residual;  // added, same steps as out; may be null
    bf16* out;
    int64_t out_step;
    int64_t n;
};

#if BATON_BF16

constexpr int MOST = 6;
constexpr int SIDE = LANES / ROWS;  // rows of sums in one vector
constexpr int64_t FEW = 32;        // rows of x; above, the matmul library is as fast
constexpr int64_t DEEP = 1024;     // items along K that a tile of both operands keeps in L1

using Dots = void (*)(const bf16* const*, const bf16*, int64_t, int64_t, int64_t, float*, int64_t);
constexpr Dots DOTS[MOST + 1] = {nullptr, dots<1>, dots<2>, dots<3>, dots<4>, dots<5>, dots<6>};

struct Rows {
    const bf16* x;
    int64_t step, m, k;
};

// Calls put(first column, columns, sums) for the tiles of columns [from, to); sums are [m][ROWS].
// rows_of fills in the weight rows of a tile that begins at a column and is `width` columns wide.
template <class RowsOf, class Put>
void unit(const Rows& in, int64_t from, int64_t to, int width, RowsOf rows_of, Put put) {
    const int64_t parts = (in.m + MOST - 1) / MOST;
    for (int64_t column = from; column < to; column += width) {
        const int columns = static_cast<int>(std::min<int64_t>(width, to - column));
        const bf16* w[ROWS];
        rows_of(column, columns, w);
        float out[FEW * ROWS] = {};
        for (int64_t at = 0; at < in.k; at += DEEP) {
            const int64_t depth = std::min(DEEP, in.k - at);
            // The next block of these rows, or the first of the next ones; to fetch beyond the end does no harm.
            const int64_t ahead = at + depth < in.k ? depth : width * in.k - at;
            const bf16* here[ROWS] = {w[0] + at, w[1] + at, w[2] + at, w[3] + at};
            for (int64_t part = 0; part < parts; ++part) {
                const int64_t first = part * in.m / parts, count = (part + 1) * in.m / parts - first;
                DOTS[count](here, in.x + first * in.step + at, in.step, depth, part ? 0 : ahead,
                            out + first * ROWS, ROWS);
            }
        }
        put(column, columns, out);
    }
}

// Columns of one unit: several units a thread, so that a thread that is held up delays the others little.
inline int64_t unit_columns(int64_t n, int width, int64_t threads) {
    const int64_t columns = std::max<int64_t>(n / (8 * threads), width);
    return columns / width * width;
}

inline void segment_unit(const Rows& in, const Segment& s, int64_t from, int64_t to) {
    auto rows_of = [&](int64_t column, int columns, const bf16** w) {
        for (int r = 0; r < ROWS; ++r) w[r] = s.weight + (column + std::min(r, columns - 1)) * in.k;
    };
    auto put = [&](int64_t column, int columns, const float* out) {
        const int64_t bytes = columns * sizeof(bf16);
        bf16 bias[LANES] = {}, kept[LANES], residual[LANES] = {};
        if (s.bias)
            for (int i = 0; i < LANES; i += ROWS) std::memcpy(bias + i, s.bias + column, bytes);
        for (int64_t m = 0; m < in.m; m += SIDE) {
            const int64_t at = m * s.out_step + column, rows = std::min<int64_t>(SIDE, in.m - m);
            store_vec(kept, load(out + m * ROWS) + load_vec(bias));
            if (s.residual) {  // the model rounds before it adds
                for (int64_t i = 0; i < rows; ++i)
                    std::memcpy(residual + i * ROWS, s.residual + at + i * s.out_step, bytes);
                store_vec(kept, load_vec(kept) + load_vec(residual));
            }
            for (int64_t i = 0; i < rows; ++i) std::memcpy(s.out + at + i * s.out_step, kept + i * ROWS, bytes);
        }
    };
    unit(in, from, to, ROWS, rows_of, put);
}

inline void gated_unit(const Rows& in, const bf16* gate, const bf16* up, bf16* out, int64_t n, int64_t from, int64_t to) {
    auto rows_of = [&](int64_t column, int columns, const bf16** w) {
        for (int r = 0; r < 2; ++r) {
            const int64_t at = (column + std::min(r, columns - 1)) * in.k;
            w[r] = gate + at;
            w[r + 2] = up + at;
        }
    };
    auto put = [&](int64_t column, int columns, const float* sums) {
        for (int64_t m = 0; m < in.m; m += SIDE) {
            const Vec both = load(sums + m * ROWS);  // gate, gate, up, up; SIDE times
            const Vec gates = both / (1.0f + exp_of(-both));
            for (int64_t i = 0; i < std::min<int64_t>(SIDE, in.m - m); ++i)
                for (int r = 0; r < columns; ++r)
                    out[(m + i) * n + column + r] = to_bf16(gates[i * ROWS + r] * both[i * ROWS + 2 + r]);
        }
    };
    unit(in, from, to, 2, rows_of, put);
}

// out[m, n] = x @ w.T in fp32, rounded to bf16 as the model stores it.
inline void logits_unit(const Rows& in, const bf16* weight, float* out, int64_t n, int64_t from, int64_t to) {
    auto rows_of = [&](int64_t column, int columns, const bf16** w) {
        for (int r = 0; r < ROWS; ++r) w[r] = weight + (column + std::min(r, columns - 1)) * in.k;
    };
    auto put = [&](int64_t column, int columns, const float* sums) {
        for (int64_t m = 0; m < in.m; ++m)
            for (int r = 0; r < columns; ++r) out[m * n + column + r] = to_float(to_bf16(sums[m * ROWS + r]));
    };
    unit(in, from, to, ROWS, rows_of, put);
}

#endif

}  // namespace baton
