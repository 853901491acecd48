// KV kept in int8: of each token and head D numbers, then their scale (fp32). Written once, read as bf16.
#pragma once

#include <limits>

#include "numbers.h"

namespace baton {

constexpr int64_t SCALE_BYTES = sizeof(float);

// Items from one row of S to the next.
template <class S>
constexpr int64_t kv_width(int64_t dim) {
    return std::is_same_v<S, int8_t> ? dim + SCALE_BYTES : dim;
}

#if BATON_BF16

inline __mmask16 first_lanes(int64_t count) {
    return static_cast<__mmask16>(count >= LANES ? 0xffff : (1u << count) - 1);
}

inline __m512 kv_items(const bf16* at, int64_t left) {
    return (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first_lanes(left), at)), 16);
}

// A number that is none makes the whole row none.
inline void put_kv(const bf16* x, int64_t dim, int8_t* out) {
    __m512i most = _mm512_setzero_si512();
    for (int64_t d = 0; d < dim; d += LANES)
        most = _mm512_max_epu32(most, _mm512_and_si512((__m512i)kv_items(x + d, dim - d), _mm512_set1_epi32(0x7fffffff)));
    const uint32_t bits = _mm512_reduce_max_epu32(most);
    float largest;
    std::memcpy(&largest, &bits, 4);
    const bool finite = bits < 0x7f800000u, some = finite && largest > 1e-30f;
    const float scale = !finite ? std::numeric_limits<float>::quiet_NaN() : some ? largest / 127.0f : 0.0f;
    const __m512 factor = _mm512_set1_ps(some ? 127.0f / largest : 0.0f);
    for (int64_t d = 0; d < dim; d += LANES) {
        const __m512i whole = _mm512_cvtps_epi32(_mm512_mul_ps(kv_items(x + d, dim - d), factor));
        _mm_mask_storeu_epi8(out + d, first_lanes(dim - d), _mm512_cvtsepi32_epi8(whole));
    }
    std::memcpy(out + dim, &scale, sizeof scale);
}

inline void get_kv(const int8_t* row, int64_t dim, bf16* out) {
    float scale;
    std::memcpy(&scale, row + dim, sizeof scale);
    const __m512 factor = _mm512_set1_ps(scale);
    auto floats = [&](__m128i items) {
        return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(items)), factor);
    };
    int64_t d = 0;
    for (; d + 2 * LANES <= dim; d += 2 * LANES)
        _mm512_storeu_si512(out + d, (__m512i)_mm512_cvtne2ps_pbh(
                                         floats(_mm_loadu_si128((const __m128i*)(row + d + LANES))),
                                         floats(_mm_loadu_si128((const __m128i*)(row + d)))));
    for (; d < dim; d += LANES)
        _mm256_mask_storeu_epi16(out + d, first_lanes(dim - d),
                                 (__m256i)_mm512_cvtneps_pbh(floats(_mm_maskz_loadu_epi8(first_lanes(dim - d), row + d))));
}

inline void put_kv(const bf16* x, int64_t dim, bf16* out) { std::memcpy(out, x, dim * sizeof(bf16)); }

#endif

}  // namespace baton
