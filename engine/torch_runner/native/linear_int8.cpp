// Linear layers with int8 weights: see linear_int8.h.
#include "linear_int8.h"

#if BATON_INT8

namespace baton::int8 {

template <class To>
void multiply(const bf16* x, int64_t x_step, const Rows& rows, const Weight& w, const To& output, int64_t threads) {
    const int64_t panels = w.panels(), chunk = std::max<int64_t>(1, panels / (16 * threads));
#pragma omp parallel num_threads(threads)
    {
#pragma omp for
        for (int64_t row = 0; row < rows.m; ++row) quantise_row(x + row * x_step, w.k, rows, row);
#pragma omp for schedule(dynamic, chunk)
        for (int64_t index = 0; index < panels; ++index) panel(w, index, rows, output);
    }
}

}  // namespace baton::int8

#endif

using baton::bf16;

// Items along K with one scale; 0 where the functions below do not exist.
extern "C" int64_t baton_int8_group() { return BATON_INT8 ? baton::int8::GROUP : 0; }

extern "C" int64_t baton_int8_columns() { return baton::int8::COLUMNS; }

#if BATON_INT8

// `memory` is what int8::Rows asks for.
extern "C" void baton_linear_int8(const bf16* x, int64_t x_step, int64_t m, char* memory,
                                  const baton::int8::Weight* w, const baton::int8::Output* output, int64_t threads) {
    baton::int8::multiply(x, x_step, {memory, m, w->k}, *w, *output, threads);
}

// w: panels of half gate, half up, so that its n is twice the output's.
extern "C" void baton_gated_int8(const bf16* x, int64_t x_step, int64_t m, char* memory,
                                 const baton::int8::Weight* w, const baton::int8::GatedOutput* output,
                                 int64_t threads) {
    baton::int8::multiply(x, x_step, {memory, m, w->k}, *w, *output, threads);
}

#endif
