// Attention of packed slices over a paged cache: see attention.h.
#include "attention.h"

namespace baton {

template <class T, class M>
void attend(const Call& call) {
    const Units units(call);
    std::vector<float> left(units.floats());
#pragma omp parallel num_threads(call.threads)
    {
        Tile<T, M> tile;
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
