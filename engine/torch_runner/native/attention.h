// Attention of packed slices over a paged cache, [block][layer][K,V][head][token][D].
//
// A unit is (slice, KV head, tile of its tokens, part of its context); the query heads that share a KV
// head are rows of one tile. Keys go by in blocks of 64: packed so that lanes are tokens, scores, a
// running softmax (Milakov and Gimelshein 2018), then the values. A slot is read only if a row of the
// tile may see it or lies between two that may: memory that was never written is never touched.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "dots.h"
#include "kv_int8.h"

namespace baton {

constexpr int BLOCK = 64;  // keys at a time
constexpr int VECS = BLOCK / LANES;
constexpr int TILE_ROWS = 192;
constexpr float NONE = -std::numeric_limits<float>::infinity();
#if defined(__AVX512F__)
constexpr int TILE_SUMS = 6;
#else
constexpr int TILE_SUMS = 2;
#endif

struct Piece {
    int64_t row, count, start, table;  // table: where its blocks begin in `tables`
};

struct Call {
    const void* query;
    const void* keys;    // the layer's K in block 0
    const void* values;  // the layer's V in block 0
    void* out;           // [N, heads, v_dim]
    const float* sinks;  // [heads], or null
    const Piece* pieces;
    const int64_t* tables;
    int64_t num_pieces, query_head_step, query_token_step, block_step, block_size;
    int64_t kv_heads, group, k_dim, v_dim, window, threads;
    float scale, softcap;  // softcap 0 and window 0: none
};

inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// How numbers are packed and multiplied: pairs for the bf16 instruction, else single floats.
struct Singles {
    using Packed = float;
    static constexpr int PAIR = 1;
    static Vec step(Vec acc, const Packed* one, const Packed* lanes) { return acc + load(lanes) * one[0]; }
    static Packed pack(float x) { return x; }
};

#if BATON_BF16
struct Pairs {
    using Packed = bf16;
    static constexpr int PAIR = 2;
    static Vec step(Vec acc, const Packed* one, const Packed* lanes) {
        int32_t both;
        std::memcpy(&both, one, 4);
        return (Vec)_mm512_dpbf16_ps((__m512)acc, (__m512bh)_mm512_loadu_si512(lanes),
                                     (__m512bh)_mm512_set1_epi32(both));
    }
    static Packed pack(float x) { return to_bf16(x); }
};
#endif

// out[r][lane] (+)= sum over steps of rows[r][step] * lanes[step][lane], for C rows and V vectors.
template <class M, int C, int V>
inline void multiply(const typename M::Packed* rows, int64_t row_step, const typename M::Packed* lanes,
                     int64_t lane_step, int64_t steps, float* out, int64_t out_step, const float* keep) {
    Vec acc[C][V];
#pragma GCC unroll 6
    for (int c = 0; c < C; ++c)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v)
            acc[c][v] = keep ? load(out + c * out_step + v * LANES) * keep[c] : Vec{};
    for (int64_t s = 0; s < steps; ++s)
#pragma GCC unroll 6
        for (int c = 0; c < C; ++c)
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v)
                acc[c][v] = M::step(acc[c][v], rows + c * row_step + s * M::PAIR,
                                    lanes + s * lane_step + v * LANES * M::PAIR);
#pragma GCC unroll 6
    for (int c = 0; c < C; ++c)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) store(out + c * out_step + v * LANES, acc[c][v]);
}

template <class M, int V>
void multiply_rows(const typename M::Packed* rows, int64_t row_step, const typename M::Packed* lanes,
                   int64_t lane_step, int64_t steps, float* out, int64_t out_step, const float* keep,
                   int64_t count) {
    int64_t r = 0;
    for (; r + TILE_SUMS <= count; r += TILE_SUMS)
        multiply<M, TILE_SUMS, V>(rows + r * row_step, row_step, lanes, lane_step, steps, out + r * out_step,
                             out_step, keep ? keep + r : nullptr);
    for (; r + 2 <= count; r += 2)
        multiply<M, 2, V>(rows + r * row_step, row_step, lanes, lane_step, steps, out + r * out_step,
                          out_step, keep ? keep + r : nullptr);
    for (; r < count; ++r)
        multiply<M, 1, V>(rows + r * row_step, row_step, lanes, lane_step, steps, out + r * out_step,
                          out_step, keep ? keep + r : nullptr);
}

#if BATON_BF16
// 16 rows of 16 dwords into 16 columns.
inline void transpose(const void* const* rows, __mmask16 mask, void* out, int64_t out_bytes) {
    __m512i a[16], b[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i)
        a[i] = rows[i] ? _mm512_maskz_loadu_epi32(mask, rows[i]) : _mm512_setzero_si512();
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
        b[2 * i] = _mm512_unpacklo_epi32(a[2 * i], a[2 * i + 1]);
        b[2 * i + 1] = _mm512_unpackhi_epi32(a[2 * i], a[2 * i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        a[4 * i] = _mm512_unpacklo_epi64(b[4 * i], b[4 * i + 2]);
        a[4 * i + 1] = _mm512_unpackhi_epi64(b[4 * i], b[4 * i + 2]);
        a[4 * i + 2] = _mm512_unpacklo_epi64(b[4 * i + 1], b[4 * i + 3]);
        a[4 * i + 3] = _mm512_unpackhi_epi64(b[4 * i + 1], b[4 * i + 3]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        b[i] = _mm512_shuffle_i32x4(a[i], a[4 + i], 0x88);
        b[4 + i] = _mm512_shuffle_i32x4(a[i], a[4 + i], 0xdd);
        b[8 + i] = _mm512_shuffle_i32x4(a[8 + i], a[12 + i], 0x88);
        b[12 + i] = _mm512_shuffle_i32x4(a[8 + i], a[12 + i], 0xdd);
    }
    char* to = static_cast<char*>(out);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        _mm512_storeu_si512(to + i * out_bytes, _mm512_shuffle_i32x4(b[i], b[8 + i], 0x88));
        _mm512_storeu_si512(to + (4 + i) * out_bytes, _mm512_shuffle_i32x4(b[4 + i], b[12 + i], 0x88));
        _mm512_storeu_si512(to + (8 + i) * out_bytes, _mm512_shuffle_i32x4(b[i], b[8 + i], 0xdd));
        _mm512_storeu_si512(to + (12 + i) * out_bytes, _mm512_shuffle_i32x4(b[4 + i], b[12 + i], 0xdd));
    }
}
#endif

// rows[t] (null: zeros) of dim items into out[step][t][PAIR].
template <class T, class M>
void pack_keys(const T* const* rows, int64_t dim, typename M::Packed* out) {
#if BATON_BF16
    if constexpr (sizeof(T) * M::PAIR == 4) {
        if (dim % M::PAIR == 0) {
            const int64_t words = dim / M::PAIR;
            for (int t = 0; t < BLOCK; t += 16)
                for (int64_t w = 0; w < words; w += 16) {
                    const void* at[16];
                    for (int i = 0; i < 16; ++i)
                        at[i] = rows[t + i] ? rows[t + i] + w * M::PAIR : nullptr;
                    const int64_t left = std::min<int64_t>(16, words - w);
                    transpose(at, static_cast<__mmask16>((1u << left) - 1),
                              out + (w * BLOCK + t) * M::PAIR, BLOCK * 4);
                }
            return;
        }
    }
#endif
    const int64_t steps = round_up(dim, M::PAIR) / M::PAIR;
    for (int t = 0; t < BLOCK; ++t)
        for (int64_t d = 0; d < steps * M::PAIR; ++d)
            out[(d / M::PAIR * BLOCK + t) * M::PAIR + d % M::PAIR] =
                rows[t] && d < dim ? M::pack(to_float(rows[t][d])) : typename M::Packed{};
}

// rows[t] of dim items into out[t / PAIR][d][PAIR], d padded with zeros to `width`.
template <class T, class M>
void pack_values(const T* const* rows, int64_t dim, int64_t width, typename M::Packed* out) {
    for (int t = 0; t < BLOCK; t += M::PAIR) {
        typename M::Packed* to = out + t * width;
        int64_t d = 0;
#if BATON_BF16
        if constexpr (M::PAIR == 2)
            for (; d + 16 <= dim; d += 16) {
                auto wide = [&](const T* row) {
                    if (!row) return _mm512_setzero_si512();
                    return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)(row + d)));
                };
                _mm512_storeu_si512(
                    to + d * 2, _mm512_or_si512(wide(rows[t]), _mm512_slli_epi32(wide(rows[t + 1]), 16)));
            }
#endif
        for (; d < width; ++d)
            for (int p = 0; p < M::PAIR; ++p)
                to[d * M::PAIR + p] =
                    rows[t + p] && d < dim ? M::pack(to_float(rows[t + p][d])) : typename M::Packed{};
    }
}

#if BATON_BF16
constexpr int64_t DIRECT_ROWS = 8;  // up to which packing would cost more than it saves

// Scores of C rows over a block, straight from the cache. Meanwhile `next` (may be null) is fetched, a few
// rows at a time: all at once they would be more than a core can wait for, and nothing would be computed.
template <int C>
void direct_scores(const bf16* queries, const bf16* const* keys, const bf16* const* next, int64_t dim,
                   float* scores) {
    for (int c = 0; c < C; ++c) std::fill(scores + c * BLOCK, scores + (c + 1) * BLOCK, 0.0f);
    for (int t = 0; t < BLOCK && keys[t]; t += ROWS) {
        const bf16* here[ROWS];
        for (int i = 0; i < ROWS; ++i) here[i] = keys[t + i] ? keys[t + i] : keys[0];
        for (int i = 0; next && i < ROWS && next[t + i]; ++i)
            for (int64_t d = 0; d < dim; d += 32) __builtin_prefetch(next[t + i] + d);
        dots<C>(here, queries, dim, dim, 0, scores + t, BLOCK);
    }
}

// sums[c] = sums[c] * keep[c] + chances[c] @ values, straight from the cache. Two tokens at a time are
// interleaved within 128-bit lanes, which shuffles the columns; they are put in order once at the end.
// `next` is fetched as in direct_scores.
template <int C>
void direct_values(const bf16* chances, const bf16* const* values, const bf16* const* next, int64_t dim,
                   float* sums, const float* keep) {
    const __m512i low = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    const __m512i high = _mm512_setr_epi32(8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
    for (int64_t d = 0; d < dim; d += 32) {
        __m512 even[C], odd[C];
#pragma GCC unroll 4
        for (int c = 0; c < C; ++c) even[c] = odd[c] = _mm512_setzero_ps();
        for (int t = 0; t < BLOCK && values[t]; t += 2) {
            const __m512i a = _mm512_loadu_si512(values[t] + d);
            const __m512i b = _mm512_loadu_si512((values[t + 1] ? values[t + 1] : values[0]) + d);
            for (int i = 0; next && i < 2 && next[t + i]; ++i) __builtin_prefetch(next[t + i] + d);
            const __m512bh first = (__m512bh)_mm512_unpacklo_epi16(a, b);
            const __m512bh second = (__m512bh)_mm512_unpackhi_epi16(a, b);
#pragma GCC unroll 4
            for (int c = 0; c < C; ++c) {
                int32_t both;
                std::memcpy(&both, chances + c * BLOCK + t, 4);
                const __m512bh chance = (__m512bh)_mm512_set1_epi32(both);
                even[c] = _mm512_dpbf16_ps(even[c], first, chance);
                odd[c] = _mm512_dpbf16_ps(odd[c], second, chance);
            }
        }
#pragma GCC unroll 4
        for (int c = 0; c < C; ++c) {
            float* to = sums + c * dim + d;
            store(to, load(to) * keep[c] + (Vec)_mm512_permutex2var_ps(even[c], low, odd[c]));
            store(to + LANES, load(to + LANES) * keep[c] + (Vec)_mm512_permutex2var_ps(even[c], high, odd[c]));
        }
    }
}

template <class F>
void by_fours(int64_t rows, F run) {
    for (int64_t r = 0; r < rows; r += 4) {
        const int64_t left = std::min<int64_t>(4, rows - r);
        if (left == 4) run(r, std::integral_constant<int, 4>{});
        else if (left == 3) run(r, std::integral_constant<int, 3>{});
        else if (left == 2) run(r, std::integral_constant<int, 2>{});
        else run(r, std::integral_constant<int, 1>{});
    }
}
#endif

template <class P>
struct Buffer {
    std::unique_ptr<char[]> raw;
    size_t held = 0;
    P* take(int64_t items) {
        const size_t bytes = items * sizeof(P) + 64;
        if (bytes > held) {
            raw.reset(new char[bytes]);
            held = bytes;
        }
        const auto at = reinterpret_cast<uintptr_t>(raw.get());
        return reinterpret_cast<P*>((at + 63) & ~uintptr_t{63});
    }
};

// Tokens [first, last) of a piece for one KV head, over context [from, to).
struct Unit {
    const Piece* piece;
    int64_t head, first, last, from, to;
    float* partial;  // where a part of the context leaves its sums; null: the whole context
};

// T: numbers of queries and outputs; M: how they are multiplied; S: what the cache holds.
template <class T, class M, class S = T>
class Tile {
    using P = typename M::Packed;
    Buffer<P> queries_, keys_, values_, chances_;
    Buffer<T> read_keys_, read_values_;
    Buffer<float> scores_, sums_, rows_;

  public:
    // `after` is what this thread probably does next: its first block is fetched ahead.
    void run(const Call& call, const Unit& unit, const Unit* after) {
        const int64_t rows = (unit.last - unit.first) * call.group;
        const int64_t k_width = round_up(call.k_dim, M::PAIR), v_width = round_up(call.v_dim, LANES);
        P* queries = queries_.take(rows * k_width);
        P* keys = keys_.take(round_up(k_width, LANES * M::PAIR) * BLOCK);
        P* values = values_.take(v_width * BLOCK);
        P* chances = chances_.take(rows * BLOCK);
        float* scores = scores_.take(rows * BLOCK);
        float* sums = sums_.take(rows * v_width);
        float* most = rows_.take(3 * rows);
        float *total = most + rows, *keep = total + rows;
        pack_queries(call, unit, queries, k_width);
        std::fill(sums, sums + rows * v_width, 0.0f);
        std::fill(most, most + rows, NONE);
        std::fill(total, total + rows, 0.0f);
        const S *key_rows[2][BLOCK], *value_rows[2][BLOCK];
        const bool direct = is_direct(call, rows), beside = direct && std::is_same_v<S, T>;
        find(call, unit, unit.from, key_rows[0], value_rows[0], true);
        int now = 0;
        for (int64_t at = unit.from; at < unit.to; at += BLOCK, now = 1 - now) {
            const bool last = at + BLOCK >= unit.to;
            if (!last) find(call, unit, at + BLOCK, key_rows[1 - now], value_rows[1 - now], !beside);
            else if (after) find(call, *after, after->from, key_rows[1 - now], value_rows[1 - now], true);
            const S* const* next_keys = beside && !last ? key_rows[1 - now] : nullptr;
            const S* const* next_values = beside && !last ? value_rows[1 - now] : nullptr;
            const T* const* key_row = as_read(key_rows[now], call.k_dim, read_keys_);
            const T* const* value_row = as_read(value_rows[now], call.v_dim, read_values_);
            if (!direct) {
                pack_keys<T, M>(key_row, call.k_dim, keys);
                multiply_rows<M, VECS>(queries, k_width, keys, BLOCK * M::PAIR, k_width / M::PAIR, scores, BLOCK,
                                       nullptr, rows);
                pack_values<T, M>(value_row, call.v_dim, v_width, values);
            } else {
                score_directly(queries, key_row, next_keys, k_width, scores, rows);
            }
            for (int64_t r = 0; r < rows; ++r)
                soften(call, unit.piece->start + unit.first + r / call.group - at, scores + r * BLOCK,
                       chances + r * BLOCK, most[r], total[r], keep[r]);
            if (!direct) add_values(chances, values, v_width, sums, keep, rows);
            else add_directly(chances, value_row, next_values, v_width, sums, keep, rows);
        }
        if (unit.partial) leave(unit.partial, rows, v_width, sums, most, total);
        else finish(call, unit, rows, v_width, sums, most, total);
    }

    // Sums of `parts` parts of one context, each as leave() wrote it, become one.
    static void merge(const Call& call, const Unit& unit, const float* left, int64_t parts, int64_t size) {
        const int64_t rows = (unit.last - unit.first) * call.group, v_width = round_up(call.v_dim, LANES);
        std::vector<float> sums(rows * v_width), most(rows, NONE), total(rows);
        for (int64_t part = 0; part < parts; ++part)
            for (int64_t r = 0; r < rows; ++r) {
                const float* from = left + part * size + r * (v_width + 2);
                const float peak = std::max(most[r], from[v_width]);
                if (peak == NONE) continue;
                const float mine = std::exp(most[r] - peak), theirs = std::exp(from[v_width] - peak);
                most[r] = peak;
                total[r] = total[r] * mine + from[v_width + 1] * theirs;
                for (int64_t d = 0; d < v_width; ++d)
                    sums[r * v_width + d] = sums[r * v_width + d] * mine + from[d] * theirs;
            }
        finish(call, unit, rows, v_width, sums.data(), most.data(), total.data());
    }

  private:
    // The rows of a block as T; `space` holds pointers to them and, unless the cache does, the rows.
    static const T* const* as_read(const S** rows, int64_t dim, Buffer<T>& space) {
        if constexpr (std::is_same_v<S, T>) return rows;
#if BATON_BF16
        else {
            const int64_t width = round_up(dim, LANES), items = BLOCK * sizeof(const T*) / sizeof(T);
            T* out = space.take(items + BLOCK * width);
            const T** made = reinterpret_cast<const T**>(out);
            out += items;
            for (int t = 0; t < BLOCK; ++t, out += width) {
                made[t] = rows[t] ? out : nullptr;
                if (rows[t]) get_kv(rows[t], dim, out);
            }
            return made;
        }
#endif
    }

    static bool is_direct(const Call& call, int64_t rows) {
#if BATON_BF16
        if constexpr (M::PAIR == 2) return rows <= DIRECT_ROWS && call.k_dim % 32 == 0 && call.v_dim % 32 == 0;
#endif
        return (void)call, (void)rows, false;
    }

    static void score_directly(const P* queries, const T* const* keys, const S* const* next, int64_t dim,
                               float* scores, int64_t rows) {
#if BATON_BF16
        if constexpr (M::PAIR == 2)
            by_fours(rows, [&](int64_t r, auto count) {
                direct_scores<count()>(queries + r * dim, keys, as_fetched(r ? nullptr : next), dim, scores + r * BLOCK);
            });
#endif
    }

    static void add_directly(const P* chances, const T* const* values, const S* const* next, int64_t dim, float* sums,
                             const float* keep, int64_t rows) {
#if BATON_BF16
        if constexpr (M::PAIR == 2)
            by_fours(rows, [&](int64_t r, auto count) {
                direct_values<count()>(chances + r * BLOCK, values, as_fetched(r ? nullptr : next), dim, sums + r * dim,
                                       keep + r);
            });
#endif
    }

    // Rows to fetch while others are computed, unless the cache holds something else than is computed with.
    static const T* const* as_fetched(const S* const* rows) {
        if constexpr (std::is_same_v<S, T>) return rows;
        return nullptr;
    }

    static void pack_queries(const Call& call, const Unit& unit, P* out, int64_t width) {
        for (int64_t token = unit.first; token < unit.last; ++token)
            for (int64_t g = 0; g < call.group; ++g, out += width) {
                const T* from = static_cast<const T*>(call.query) +
                                (unit.head * call.group + g) * call.query_head_step +
                                (unit.piece->row + token) * call.query_token_step;
                for (int64_t d = 0; d < width; ++d) {
                    if constexpr (std::is_same_v<T, P>) out[d] = d < call.k_dim ? from[d] : P{};
                    else out[d] = d < call.k_dim ? M::pack(to_float(from[d])) : P{};
                }
            }
    }

    // Where the keys and values of a block lie; null beyond the end. Fetches them ahead of their use if `at_once`.
    static void find(const Call& call, const Unit& unit, int64_t at, const S** keys, const S** values, bool at_once) {
        const int64_t k_width = kv_width<S>(call.k_dim), v_width = kv_width<S>(call.v_dim);
        const int64_t* table = call.tables + unit.piece->table;
        int64_t page = at / call.block_size, slot = at % call.block_size;
        for (int t = 0; t < BLOCK; ++t) {
            keys[t] = values[t] = nullptr;
            if (at + t >= unit.to) continue;
            const int64_t block = table[page] * call.block_step, row = unit.head * call.block_size + slot;
            keys[t] = static_cast<const S*>(call.keys) + block + row * k_width;
            values[t] = static_cast<const S*>(call.values) + block + row * v_width;
            if (at_once) {
                fetch(keys[t], k_width);
                fetch(values[t], v_width);
            } else if (slot == 0 || t == 0) {  // where it lies, at least: page tables are slow, and read side by side
                __builtin_prefetch(keys[t]);
                __builtin_prefetch(values[t]);
            }
            if (++slot == call.block_size) {
                slot = 0;
                ++page;
            }
        }
    }

    static void fetch(const S* at, int64_t items) {
        const char* from = reinterpret_cast<const char*>(at);
        for (int64_t byte = 0; byte < items * static_cast<int64_t>(sizeof(S)); byte += 64)
            __builtin_prefetch(from + byte);
    }

    // Turns scores of one row into chances. `own` is the row's position within the block, maybe beyond it.
    static void soften(const Call& call, int64_t own, float* scores, P* chances, float& most, float& total,
                       float& keep) {
        const int64_t begin = call.window ? std::max<int64_t>(0, own + 1 - call.window) : 0;
        const int64_t end = std::min<int64_t>(BLOCK, own + 1);
        Vec s[VECS], peak = splat(NONE);
        for (int v = 0; v < VECS; ++v) {
            s[v] = load(scores + v * LANES) * call.scale;
            if (call.softcap != 0.0f) s[v] = tanh_of(s[v] / call.softcap) * call.softcap;
            if (begin > 0 || end < BLOCK)
                s[v] = seen(v * LANES, begin, end) ? s[v] : splat(NONE);
            peak = larger(peak, s[v]);
        }
        const float before = most;
        most = std::max(most, max_of(peak));
        const float base = most == NONE ? 0.0f : most;
        keep = before == NONE ? 0.0f : before == base ? 1.0f : exp_below(splat(before - base))[0];
        Vec sum{};
        for (int v = 0; v < VECS; ++v) {
            const Vec chance = exp_below(s[v] - base);
            sum += chance;
            store_vec(chances + v * LANES, chance);
        }
        total = total * keep + sum_of(sum);
    }

    static IntVec seen(int lane, int64_t begin, int64_t end) {
        IntVec index;
        for (int i = 0; i < LANES; ++i) index[i] = lane + i;
        const int low = static_cast<int>(std::min<int64_t>(begin, BLOCK)), high = static_cast<int>(end);
        return (index >= low) & (index < high);
    }

    static void add_values(const P* chances, const P* values, int64_t width, float* sums, const float* keep,
                           int64_t rows) {
        int64_t d = 0;
        for (; d + 4 * LANES <= width; d += 4 * LANES)
            multiply_rows<M, 4>(chances, BLOCK, values + d * M::PAIR, width * M::PAIR, BLOCK / M::PAIR,
                                sums + d, width, keep, rows);
        for (; d < width; d += LANES)
            multiply_rows<M, 1>(chances, BLOCK, values + d * M::PAIR, width * M::PAIR, BLOCK / M::PAIR,
                                sums + d, width, keep, rows);
    }

    static void leave(float* to, int64_t rows, int64_t width, const float* sums, const float* most,
                      const float* total) {
        for (int64_t r = 0; r < rows; ++r, to += width + 2) {
            std::copy(sums + r * width, sums + (r + 1) * width, to);
            to[width] = most[r];
            to[width + 1] = total[r];
        }
    }

    static void finish(const Call& call, const Unit& unit, int64_t rows, int64_t width, const float* sums,
                       const float* most, const float* total) {
        for (int64_t r = 0; r < rows; ++r) {
            const int64_t head = unit.head * call.group + r % call.group;
            const int64_t token = unit.piece->row + unit.first + r / call.group;
            T* out = static_cast<T*>(call.out) + (token * call.kv_heads * call.group + head) * call.v_dim;
            float scale = 1.0f, sum = total[r];
            if (call.sinks) {
                const float peak = std::max(most[r], call.sinks[head]);
                scale = std::exp(most[r] - peak);
                sum = sum * scale + std::exp(call.sinks[head] - peak);
            }
            for (int64_t d = 0; d < call.v_dim; ++d)
                out[d] = from_float<T>(sums[r * width + d] * (scale / sum));
        }
    }
};

inline std::vector<Unit> units_of(const Call& call) {
    const int64_t tokens = std::max<int64_t>(1, TILE_ROWS / call.group);
    std::vector<Unit> units;
    for (int64_t p = 0; p < call.num_pieces; ++p) {
        const Piece& piece = call.pieces[p];
        for (int64_t first = 0; first < piece.count; first += tokens) {
            const int64_t last = std::min(first + tokens, piece.count);
            const int64_t from = call.window ? std::max<int64_t>(0, piece.start + first + 1 - call.window) : 0;
            for (int64_t head = 0; head < call.kv_heads; ++head)
                units.push_back({&piece, head, first, last, from, piece.start + last, nullptr});
        }
    }
    auto work = [](const Unit& u) { return (u.last - u.first + 8) * (u.to - u.from); };
    std::stable_sort(units.begin(), units.end(), [&](const Unit& a, const Unit& b) { return work(a) > work(b); });
    return units;
}

// The units of calls that differ only in where the layer's K and V lie. Where there are fewer units than
// threads can share, each context is cut into `parts`.
struct Units {
    std::vector<Unit> whole;
    int64_t parts, size;  // floats that one part leaves behind

    explicit Units(const Call& call) : whole(units_of(call)), parts(1), size(0) {
        const int64_t count = static_cast<int64_t>(whole.size()), width = round_up(call.v_dim, LANES) + 2;
        int64_t longest = 0;
        if (!count) return;
        for (const Unit& unit : whole) {
            longest = std::max(longest, unit.to - unit.from);
            size = std::max(size, (unit.last - unit.first) * call.group * width);
        }
        const int64_t shared = std::min(round_up(2 * call.threads, count) / count, longest / (4 * BLOCK));
        if (call.threads > 1 && shared > 1) parts = shared;
    }

    int64_t count() const { return static_cast<int64_t>(whole.size()) * parts; }
    int64_t merges() const { return parts > 1 ? static_cast<int64_t>(whole.size()) : 0; }
    int64_t floats() const { return parts > 1 ? count() * size : 0; }

    // Unit u of count(); `left` has floats() of them.
    template <class AnyTile>
    void run(const Call& call, AnyTile& tile, int64_t u, float* left) const {
        if (parts == 1) return tile.run(call, whole[u], u + call.threads < count() ? &whole[u + call.threads] : nullptr);
        Unit unit = whole[u / parts];
        const int64_t blocks = (unit.to - unit.from + BLOCK - 1) / BLOCK, part = u % parts, to = unit.to;
        const int64_t from = unit.from;
        unit.from = std::min(to, from + part * blocks / parts * BLOCK);
        unit.to = std::min(to, from + (part + 1) * blocks / parts * BLOCK);
        unit.partial = left + u * size;
        tile.run(call, unit, nullptr);
    }

    // Unit u of merges(), once all of count() are done.
    template <class T, class M>
    void merge(const Call& call, int64_t u, const float* left) const {
        Tile<T, M>::merge(call, whole[u], left + u * parts * size, parts, size);
    }
};

}  // namespace baton
