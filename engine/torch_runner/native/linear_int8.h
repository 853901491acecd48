// x @ w.T where both are int8: whole numbers are multiplied four at a time (VNNI), and every GROUP items
// along K have a scale of their own, as in llama.cpp's Q8_0. x is quantised here, w once at load.
//
// A panel holds COLUMNS outputs, [k / 4][COLUMNS][4], so that each instruction adds to 16 outputs and
// nothing is summed across lanes. Whole numbers add up exactly and groups in their order: an output is
// the same to the last bit for any number of rows, threads or chunks.
// w is stored plus 128, because the instruction multiplies unsigned by signed; the sums start at what
// takes that back.
#pragma once

#include <algorithm>
#include <limits>

#include "numbers.h"

#if BATON_BF16 && defined(__AVX512VNNI__)
#define BATON_INT8 1
#else
#define BATON_INT8 0
#endif

namespace baton::int8 {

constexpr int64_t GROUP = 128;  // items along K that share a scale
constexpr int64_t COLUMNS = 64;

#if BATON_INT8

constexpr int64_t PARTS = COLUMNS / LANES;
constexpr int MOST = 6;                     // rows of x at a time: as many sums as registers hold
constexpr int64_t AHEAD = GROUP * COLUMNS;  // bytes; to fetch beyond the end does no harm
constexpr int64_t BLOCK_ROWS = 96;          // rows of x whose sums, and items of one group, stay in L1

// A quantised matrix [n, k]: n in whole panels, k in whole groups; what is beyond them is zero.
struct Weight {
    const uint8_t* items;  // [panel][k / 4][COLUMNS][4], plus 128
    const float* scales;   // [panel][k / GROUP][COLUMNS]
    int64_t n, k;          // as the model has them

    int64_t panels() const { return (n + COLUMNS - 1) / COLUMNS; }
};

// Rows of x: items [groups][m][GROUP], and of each group and row its scale and -128 times its sum.
struct Rows {
    int8_t* items;
    float* scales;
    int32_t* starts;
    int64_t m, groups;

    // In memory of m * groups * (GROUP + 8) bytes.
    Rows(char* memory, int64_t rows, int64_t k) : m(rows), groups((k + GROUP - 1) / GROUP) {
        items = reinterpret_cast<int8_t*>(memory);
        scales = reinterpret_cast<float*>(memory + m * groups * GROUP);
        starts = reinterpret_cast<int32_t*>(scales + m * groups);
    }
};

inline Vec widened(__m256i items) { return (Vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(items), 16); }

// One group of a row, of which `left` items exist. An infinity or NaN makes the whole group NaN.
inline void quantise_group(const bf16* x, int64_t left, int8_t* out, float& scale, int32_t& start) {
    __m512i items[GROUP / 32], most = _mm512_setzero_si512();
    for (int64_t i = 0; i < GROUP / 32; ++i) {
        const int64_t count = std::min<int64_t>(32, std::max<int64_t>(0, left - 32 * i));
        items[i] = _mm512_maskz_loadu_epi16(static_cast<__mmask32>((uint64_t{1} << count) - 1), x + 32 * i);
        most = _mm512_max_epu16(most, _mm512_and_si512(items[i], _mm512_set1_epi16(0x7fff)));
    }
    const uint32_t bits = _mm512_reduce_max_epu32(_mm512_max_epu32(
        _mm512_slli_epi32(most, 16), _mm512_slli_epi32(_mm512_srli_epi32(most, 16), 16)));
    float largest;
    std::memcpy(&largest, &bits, 4);
    const bool finite = bits < 0x7f800000u, some = finite && largest > 1e-30f;
    scale = !finite ? std::numeric_limits<float>::quiet_NaN() : some ? largest / 127.0f : 0.0f;
    const float factor = some ? 127.0f / largest : 0.0f;
    __m512i sum = _mm512_setzero_si512();
    for (int64_t i = 0; i < GROUP / 32; ++i)
        for (int half = 0; half < 2; ++half) {
            const __m256i part = half ? _mm512_extracti64x4_epi64(items[i], 1) : _mm512_castsi512_si256(items[i]);
            const __m512i whole = _mm512_cvtps_epi32((__m512)(widened(part) * factor));
            sum = _mm512_add_epi32(sum, whole);
            _mm_storeu_si128((__m128i*)(out + 32 * i + 16 * half), _mm512_cvtsepi32_epi8(whole));
        }
    start = -128 * _mm512_reduce_add_epi32(sum);
}

inline void quantise_row(const bf16* x, int64_t k, const Rows& to, int64_t row) {
    for (int64_t g = 0; g < to.groups; ++g) {
        const int64_t at = g * to.m + row;
        quantise_group(x + g * GROUP, k - g * GROUP, to.items + at * GROUP, to.scales[at], to.starts[at]);
    }
}

// Not the intrinsic: with it gcc 12 copies the sums to the stack and back in every round.
inline void add_products(__m512i& sums, __m512i w, __m512i x) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(w), "v"(x));
}

// sums[C][COLUMNS] += what one group of a panel gives for C rows, the first of which is at `at` in x.
// `First` of the rows that use these weights: it fetches what comes after them.
template <int C, bool First>
void group_sums(const uint8_t* w, const float* scales, const Rows& x, int64_t at, float* sums) {
    __m512i acc[C][PARTS];
    const int8_t* items = x.items + at * GROUP;
#pragma GCC unroll 6
    for (int c = 0; c < C; ++c)
#pragma GCC unroll 4
        for (int p = 0; p < PARTS; ++p) acc[c][p] = _mm512_set1_epi32(x.starts[at + c]);
#pragma GCC unroll 1
    for (int64_t i = 0; i < GROUP; i += 4, items += 4, w += 4 * COLUMNS) {
        __m512i columns[PARTS];
#pragma GCC unroll 4
        for (int p = 0; p < PARTS; ++p) {
            columns[p] = _mm512_loadu_si512(w + 64 * p);
            if constexpr (First) _mm_prefetch(reinterpret_cast<const char*>(w + AHEAD + 64 * p), _MM_HINT_T0);
        }
#pragma GCC unroll 6
        for (int c = 0; c < C; ++c) {
            int32_t four;
            std::memcpy(&four, items + c * GROUP, 4);
            const __m512i v = _mm512_set1_epi32(four);
#pragma GCC unroll 4
            for (int p = 0; p < PARTS; ++p) add_products(acc[c][p], columns[p], v);
        }
    }
#pragma GCC unroll 6
    for (int c = 0; c < C; ++c)
#pragma GCC unroll 4
        for (int p = 0; p < PARTS; ++p) {
            float* to = sums + c * COLUMNS + p * LANES;
            const Vec scale = load(scales + p * LANES) * x.scales[at + c];
            store(to, load(to) + (Vec)_mm512_cvtepi32_ps(acc[c][p]) * scale);
        }
}

using GroupSums = void (*)(const uint8_t*, const float*, const Rows&, int64_t, float*);
template <bool First>
constexpr GroupSums GROUP_SUMS[MOST + 1] = {
    nullptr, group_sums<1, First>, group_sums<2, First>, group_sums<3, First>,
    group_sums<4, First>, group_sums<5, First>, group_sums<6, First>};

// sums [rows][COLUMNS] of one panel, for rows [first, first + rows) of x.
inline void panel_sums(const Weight& w, int64_t panel, const Rows& x, int64_t first, int64_t rows, float* sums) {
    const int64_t parts = (rows + MOST - 1) / MOST;
    std::fill(sums, sums + rows * COLUMNS, 0.0f);
    for (int64_t group = 0; group < x.groups; ++group) {
        const int64_t at = panel * x.groups + group;
        for (int64_t part = 0; part < parts; ++part) {
            const int64_t begin = part * rows / parts, count = (part + 1) * rows / parts - begin;
            const GroupSums add = part ? GROUP_SUMS<false>[count] : GROUP_SUMS<true>[count];
            add(w.items + at * GROUP * COLUMNS, w.scales + at * COLUMNS, x, group * x.m + first + begin,
                sums + begin * COLUMNS);
        }
    }
}

inline __mmask16 lanes(int64_t count) {
    return static_cast<__mmask16>((1u << std::min<int64_t>(LANES, std::max<int64_t>(0, count))) - 1);
}

// Where the outputs of a linear layer go: out[m * out_step + column].
struct Output {
    const bf16* bias;      // may be null
    const bf16* residual;  // added after rounding, as the model does, same steps as out; may be null
    bf16* out;
    int64_t out_step, n;

    void put(int64_t panel, int64_t row, const float* sums) const {
        for (int64_t p = 0; p < PARTS; ++p) {
            const int64_t column = panel * COLUMNS + p * LANES, at = row * out_step + column;
            const __mmask16 mask = lanes(n - column);
            if (!mask) return;
            Vec sum = load(sums + p * LANES);
            if (bias) sum += widened(_mm256_maskz_loadu_epi16(mask, bias + column));
            if (residual) sum = rounded<bf16>(sum) + widened(_mm256_maskz_loadu_epi16(mask, residual + at));
            _mm256_mask_storeu_epi16(out + at, mask, (__m256i)_mm512_cvtneps_pbh((__m512)sum));
        }
    }
};

// The same of a gated pair, whose panels are half gate and half up: out = silu(gate) * up.
struct GatedOutput {
    bf16* out;
    int64_t n;

    void put(int64_t panel, int64_t row, const float* sums) const {
        for (int64_t p = 0; p < PARTS / 2; ++p) {
            const int64_t column = panel * COLUMNS / 2 + p * LANES;
            const Vec gate = load(sums + p * LANES), up = load(sums + COLUMNS / 2 + p * LANES);
            const Vec made = gate / (1.0f + exp_of(-gate)) * up;
            _mm256_mask_storeu_epi16(out + row * n + column, lanes(n - column),
                                     (__m256i)_mm512_cvtneps_pbh((__m512)made));
        }
    }
};

// The same of a head: fp32 numbers, rounded to bf16 as the model stores them.
struct Logits {
    float* out;
    int64_t n;

    void put(int64_t panel, int64_t row, const float* sums) const {
        for (int64_t p = 0; p < PARTS; ++p) {
            const int64_t column = panel * COLUMNS + p * LANES;
            _mm512_mask_storeu_ps(out + row * n + column, lanes(n - column),
                                  (__m512)rounded<bf16>(load(sums + p * LANES)));
        }
    }
};

// One panel for all rows of x.
template <class To>
void panel(const Weight& w, int64_t index, const Rows& x, const To& output) {
    alignas(64) float sums[BLOCK_ROWS * COLUMNS];
    for (int64_t first = 0; first < x.m; first += BLOCK_ROWS) {
        const int64_t rows = std::min(BLOCK_ROWS, x.m - first);
        panel_sums(w, index, x, first, rows, sums);
        for (int64_t row = 0; row < rows; ++row) output.put(index, first + row, sums + row * COLUMNS);
    }
}

#endif

}  // namespace baton::int8
