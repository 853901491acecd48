// Operations on rows of tokens: RMS norm, rotary positions, the gated activation, writing KV to its slots.
#pragma once

#include <cmath>

#include "numbers.h"

namespace baton {

template <class T>
inline T rounded_product(float a, float b) {
    return from_float<T>(to_float(from_float<T>(a)) * b);
}

template <class T>
void norm_row(const T* x, const T* weight, T* out, int64_t n, float eps) {
    Vec squares{};
    int64_t at = 0;
    float sum = 0;
    for (; at + LANES <= n; at += LANES) {
        const Vec v = load_vec(x + at);
        squares += v * v;
    }
    sum = sum_of(squares);
    for (int64_t rest = at; rest < n; ++rest) sum += to_float(x[rest]) * to_float(x[rest]);
    const float scale = 1.0f / std::sqrt(sum / static_cast<float>(n) + eps);
    for (at = 0; at + LANES <= n; at += LANES)
        store_vec(out + at, rounded<T>(load_vec(x + at) * scale) * load_vec(weight + at));
    for (; at < n; ++at) out[at] = rounded_product<T>(to_float(x[at]) * scale, to_float(weight[at]));
}

// x * cos + rotate_half(x) * sin, in place; n is even, cos and sin are [n].
template <class T>
void rotate_row(T* x, const T* cosine, const T* sine, int64_t n) {
    const int64_t half = n / 2;
    auto turn = [](auto a, auto b, auto ca, auto sa, auto cb, auto sb, auto round, auto put) {
        put(round(a * ca) - round(b * sa), round(b * cb) + round(a * sb));
    };
    int64_t at = 0;
    for (; at + LANES <= half; at += LANES)
        turn(load_vec(x + at), load_vec(x + at + half), load_vec(cosine + at), load_vec(sine + at),
             load_vec(cosine + at + half), load_vec(sine + at + half), [](Vec v) { return rounded<T>(v); },
             [&](Vec low, Vec high) {
                 store_vec(x + at, low);
                 store_vec(x + at + half, high);
             });
    for (; at < half; ++at)
        turn(to_float(x[at]), to_float(x[at + half]), to_float(cosine[at]), to_float(sine[at]),
             to_float(cosine[at + half]), to_float(sine[at + half]),
             [](float v) { return to_float(from_float<T>(v)); },
             [&](float low, float high) {
                 x[at] = from_float<T>(low);
                 x[at + half] = from_float<T>(high);
             });
}

}  // namespace baton
