// Attention of packed slices over a paged cache: see attention.h.
#include "attention.h"

namespace baton {

template <class T, class M, class S = T>
void attend(const Call& call) {
    const Units units(call);
    std::vector<float> left(units.floats());
#pragma omp parallel num_threads(call.threads)
    {
        Tile<T, M, S> tile;
#pragma omp for schedule(dynamic)
        for (int64_t u = 0; u < units.count(); ++u) units.run(call, tile, u, left.data());
#pragma omp for schedule(dynamic)
        for (int64_t u = 0; u < units.merges(); ++u) units.merge<T, M>(call, u, left.data());
    }
}

}  // namespace baton

extern "C" void baton_attend_float32(const baton::Call* call) { baton::attend<float, baton::Singles>(*call); }

extern "C" void baton_attend_bfloat16(const baton::Call* call) {
#if BATON_BF16
    baton::attend<baton::bf16, baton::Pairs>(*call);
#else
    baton::attend<baton::bf16, baton::Singles>(*call);
#endif
}

#if BATON_BF16
// The cache holds int8, queries and outputs are bf16.
extern "C" void baton_attend_int8(const baton::Call* call) {
    baton::attend<baton::bf16, baton::Pairs, int8_t>(*call);
}

// pool[blocks[token]][head][offsets[token]] = x[head][token]; steps of x in its items, of the pool in bytes.
extern "C" void baton_store_int8(const baton::bf16* x, int64_t head_step, int64_t token_step, int8_t* pool,
                                 int64_t block_step, int64_t pool_head_step, const int64_t* blocks,
                                 const int64_t* offsets, int64_t tokens, int64_t heads, int64_t dim) {
    for (int64_t token = 0; token < tokens; ++token)
        for (int64_t head = 0; head < heads; ++head)
            baton::put_kv(x + head * head_step + token * token_step, dim,
                          pool + blocks[token] * block_step + head * pool_head_step +
                              offsets[token] * baton::kv_width<int8_t>(dim));
}
#endif
