// Operations on all rows of a call: see rows.h for those on one.
#include "rows.h"

namespace baton {

template <class T>
void norm(const T* x, const T* weight, T* out, int64_t rows, int64_t n, float eps, int threads) {
#pragma omp parallel for num_threads(threads) if (rows * n > (1 << 14))
    for (int64_t row = 0; row < rows; ++row) norm_row(x + row * n, weight, out + row * n, n, eps);
}

// Heads of one token lie one after another; a null weight is no norm.
template <class T>
struct Heads {
    T* x;
    const T* weight;
    int64_t heads, token_step;
};

template <class T>
void rotate(const Heads<T>* parts, int64_t count, const T* cosine, const T* sine, int64_t tokens, int64_t dim,
            float eps, int threads) {
#pragma omp parallel for num_threads(threads) if (tokens > 8)
    for (int64_t token = 0; token < tokens; ++token)
        for (int64_t p = 0; p < count; ++p)
            for (int64_t head = 0; head < parts[p].heads; ++head) {
                T* x = parts[p].x + token * parts[p].token_step + head * dim;
                if (parts[p].weight) norm_row(x, parts[p].weight, x, dim, eps);
                rotate_row(x, cosine + token * dim, sine + token * dim, dim);
            }
}

// gate = silu(gate) * up
template <class T>
void gate_rows(T* gate, const T* up, int64_t n, int threads) {
    const int64_t whole = n / LANES * LANES;
#pragma omp parallel for num_threads(threads) if (n > (1 << 14))
    for (int64_t at = 0; at < whole; at += LANES) {
        const Vec g = load_vec(gate + at);
        store_vec(gate + at, rounded<T>(g / (1.0f + exp_of(-g))) * load_vec(up + at));
    }
    for (int64_t at = whole; at < n; ++at) {
        const float g = to_float(gate[at]);
        gate[at] = rounded_product<T>(g / (1.0f + std::exp(-g)), to_float(up[at]));
    }
}

}  // namespace baton

using baton::bf16;

// pool[blocks[token]][head][offsets[token]] = x[head][token], steps in items.
extern "C" void baton_store(const char* x, int64_t head_step, int64_t token_step, char* pool, int64_t block_step,
                            int64_t pool_head_step, const int64_t* blocks, const int64_t* offsets, int64_t tokens,
                            int64_t heads, int64_t dim, int64_t item) {
    for (int64_t token = 0; token < tokens; ++token)
        for (int64_t head = 0; head < heads; ++head) {
            const int64_t to = blocks[token] * block_step + head * pool_head_step + offsets[token] * dim;
            std::memcpy(pool + to * item, x + (head * head_step + token * token_step) * item, dim * item);
        }
}

extern "C" void baton_norm_float32(const float* x, const float* weight, float* out, int64_t rows, int64_t n,
                                   float eps, int64_t threads) {
    baton::norm(x, weight, out, rows, n, eps, static_cast<int>(threads));
}

extern "C" void baton_norm_bfloat16(const bf16* x, const bf16* weight, bf16* out, int64_t rows, int64_t n,
                                    float eps, int64_t threads) {
    baton::norm(x, weight, out, rows, n, eps, static_cast<int>(threads));
}

extern "C" void baton_rotate_bfloat16(const baton::Heads<bf16>* parts, int64_t count, const bf16* cosine,
                                      const bf16* sine, int64_t tokens, int64_t dim, float eps, int64_t threads) {
    baton::rotate(parts, count, cosine, sine, tokens, dim, eps, static_cast<int>(threads));
}

extern "C" void baton_gate_bfloat16(bf16* gate, const bf16* up, int64_t n, int64_t threads) {
    baton::gate_rows(gate, up, n, static_cast<int>(threads));
}
