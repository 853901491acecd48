// Dot products of bf16 rows: 4 rows of one matrix times up to 6 of another, both contiguous along K.
#pragma once

#include "numbers.h"

#if BATON_BF16

namespace baton {

constexpr int ROWS = 4;

inline __m128 sums(__m512 a, __m512 b, __m512 c, __m512 d) {
    auto half = [](__m512 v) { return _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1)); };
    const __m256 t = _mm256_hadd_ps(_mm256_hadd_ps(half(a), half(b)), _mm256_hadd_ps(half(c), half(d)));
    return _mm_add_ps(_mm256_castps256_ps128(t), _mm256_extractf128_ps(t, 1));
}

inline __m512bh load_items(__mmask32 mask, const bf16* at) {
    return (__m512bh)_mm512_maskz_loadu_epi16(mask, at);
}

// out[c * out_step + r] += w[r] . x[c]; `ahead` items further on lie the weights needed next.
template <int C>
inline void dots(const bf16* const* w, const bf16* x, int64_t x_step, int64_t k, int64_t ahead, float* out,
                 int64_t out_step) {
    __m512 acc[C][ROWS];
#pragma GCC unroll 6
    for (int c = 0; c < C; ++c)
#pragma GCC unroll 4
        for (int r = 0; r < ROWS; ++r) acc[c][r] = _mm512_setzero_ps();
    const bf16 *w0 = w[0], *w1 = w[1], *w2 = w[2], *w3 = w[3];
    auto step = [&](int64_t at, __mmask32 mask) {
        const __m512bh a = load_items(mask, w0 + at), b = load_items(mask, w1 + at);
        const __m512bh d = load_items(mask, w2 + at), e = load_items(mask, w3 + at);
#pragma GCC unroll 6
        for (int c = 0; c < C; ++c) {
            const __m512bh v = load_items(mask, x + c * x_step + at);
            acc[c][0] = _mm512_dpbf16_ps(acc[c][0], a, v);
            acc[c][1] = _mm512_dpbf16_ps(acc[c][1], b, v);
            acc[c][2] = _mm512_dpbf16_ps(acc[c][2], d, v);
            acc[c][3] = _mm512_dpbf16_ps(acc[c][3], e, v);
        }
    };
    int64_t at = 0;
    for (; at + 32 <= k; at += 32) {
        if (ahead) {
            _mm_prefetch(reinterpret_cast<const char*>(w0 + at + ahead), _MM_HINT_T0);
            _mm_prefetch(reinterpret_cast<const char*>(w1 + at + ahead), _MM_HINT_T0);
            _mm_prefetch(reinterpret_cast<const char*>(w2 + at + ahead), _MM_HINT_T0);
            _mm_prefetch(reinterpret_cast<const char*>(w3 + at + ahead), _MM_HINT_T0);
        }
        step(at, ~__mmask32{0});
    }
    if (at < k) step(at, (__mmask32{1} << (k - at)) - 1);
#pragma GCC unroll 6
    for (int c = 0; c < C; ++c)
        _mm_storeu_ps(out + c * out_step, _mm_add_ps(_mm_loadu_ps(out + c * out_step),
                                                 sums(acc[c][0], acc[c][1], acc[c][2], acc[c][3])));
}

}  // namespace baton

#endif
