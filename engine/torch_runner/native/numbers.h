// Numbers of the kernels: bf16 as its 16 bits, vectors of 16 floats, exp and tanh on them.
// GCC and Clang lower the vectors to whatever the CPU has.
#pragma once

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <type_traits>

#if defined(__AVX512BF16__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#define BATON_BF16 1
#include <immintrin.h>
#else
#define BATON_BF16 0
#endif

namespace baton {

using bf16 = uint16_t;
constexpr int LANES = 16;
typedef float Vec __attribute__((vector_size(4 * LANES)));
typedef int32_t IntVec __attribute__((vector_size(4 * LANES)));

inline float to_float(float x) { return x; }
inline float to_float(bf16 x) {
    const uint32_t bits = static_cast<uint32_t>(x) << 16;
    float out;
    std::memcpy(&out, &bits, 4);
    return out;
}

// Round to nearest even. NaN stays NaN: the carry of a plain addition would make it zero.
inline bf16 to_bf16(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<bf16>((bits >> 16) | 0x40u);
    return static_cast<bf16>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

template <class T>
inline T from_float(float x) {
    if constexpr (std::is_same_v<T, float>) return x;
    else return to_bf16(x);
}

inline Vec splat(float x) { return Vec{} + x; }

inline Vec load(const float* at) {
    Vec out;
    std::memcpy(&out, at, sizeof out);
    return out;
}

inline void store(float* at, Vec x) { std::memcpy(at, &x, sizeof x); }

inline Vec load_vec(const float* at) { return load(at); }

inline Vec load_vec(const bf16* at) {
#if BATON_BF16
    return (Vec)_mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)at)), 16));
#else
    Vec out;
    for (int lane = 0; lane < LANES; ++lane) out[lane] = to_float(at[lane]);
    return out;
#endif
}

inline void store_vec(float* at, Vec x) { store(at, x); }

inline void store_vec(bf16* at, Vec x) {
#if BATON_BF16
    _mm256_storeu_si256((__m256i*)at, (__m256i)_mm512_cvtneps_pbh((__m512)x));
#else
    for (int lane = 0; lane < LANES; ++lane) at[lane] = to_bf16(x[lane]);
#endif
}

// What a value becomes when the model stores it between two operations.
template <class T>
inline Vec rounded(Vec x) {
    if constexpr (std::is_same_v<T, float>) return x;
    T kept[LANES];
    store_vec(kept, x);
    return load_vec(kept);
}

inline Vec larger(Vec a, Vec b) { return a > b ? a : b; }

inline float sum_of(Vec x) {
#if BATON_BF16
    return _mm512_reduce_add_ps((__m512)x);
#endif
    float total = 0;
    for (int lane = 0; lane < LANES; ++lane) total += x[lane];
    return total;
}

inline float max_of(Vec x) {
#if BATON_BF16
    return _mm512_reduce_max_ps((__m512)x);
#endif
    float most = x[0];
    for (int lane = 1; lane < LANES; ++lane) most = x[lane] > most ? x[lane] : most;
    return most;
}

// Cephes' expf: 2^n times a polynomial on [-ln2/2, ln2/2]; about 1e-7 relative. Below -87 it is 1e-38;
// NaN stays NaN, which is why the comparisons are written this way round.
inline Vec exp_of(Vec x) {
    x = x < -87.0f ? splat(-87.0f) : x;
    x = x > 88.0f ? splat(88.0f) : x;
    const Vec shifted = x * 1.44269504088896341f + 12582912.0f;
    const Vec n = shifted - 12582912.0f;
    x = x - n * 0.693359375f;
    x = x + n * 2.12194440e-4f;
    Vec p = splat(1.9875691500e-4f);
    p = p * x + 1.3981999507e-3f;
    p = p * x + 8.3334519073e-3f;
    p = p * x + 4.1665795894e-2f;
    p = p * x + 1.6666665459e-1f;
    p = p * x + 5.0000001201e-1f;
    p = p * x * x + x + 1.0f;
    IntVec bits;
    std::memcpy(&bits, &shifted, sizeof bits);
    bits = (bits - 0x4b400000 + 127) << 23;
    Vec scale;
    std::memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

// exp for arguments up to 0, about 2e-7 relative; below -104 it is 0, so that minus infinity needs no care.
inline Vec exp_below(Vec x) {
#if BATON_BF16
    const __m512 in = _mm512_max_ps(_mm512_set1_ps(-110.0f), (__m512)x);  // this way round NaN stays NaN
    const __m512 t = _mm512_mul_ps(in, _mm512_set1_ps(1.44269504088896341f));
    const __m512 n = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 r = _mm512_sub_ps(t, n);  // 2^r by its series
    __m512 p = _mm512_set1_ps(1.540353040e-4f);
    for (float next : {1.333355815e-3f, 9.618129108e-3f, 5.550410866e-2f, 0.2402265070f, 0.6931471806f, 1.0f})
        p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(next));
    return (Vec)_mm512_scalef_ps(p, n);
#else
    return x < -104.0f ? Vec{} : exp_of(x);
#endif
}

inline Vec tanh_of(Vec x) { return 1.0f - 2.0f / (exp_of(x * 2.0f) + 1.0f); }

}  // namespace baton
