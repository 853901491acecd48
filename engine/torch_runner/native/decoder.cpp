// All layers of a decoder of the Llama family, and its logits: one call and one OpenMP region a step. What each phase computes, and where it rounds, is what the single kernels do.
#include "attention.h"
#include "crew.h"
#include "linear.h"
#include "linear_int8.h"
#include "packed.h"
#include "rows.h"

namespace baton {

// One layer's weights, and where its KV lies. A matrix M is `const bf16*` (for FEW rows at most),
// `const Packed*` or `const int8::Weight*`.
template <class M>
struct Layer {
    const bf16* norm;
    M qkv;
    const bf16 *qkv_bias, *query_norm, *key_norm;  // biases and norms of heads may be null
    M out;
    const bf16 *out_bias, *second_norm;
    M gate, up;  // in panels both lie in `gate`
    M down;
    void *keys, *values;  // in block 0
    int64_t window;       // 0: none
};

template <class M>
struct Decoder {
    const Layer<M>* layers;
    const bf16* norm;
    M head;
    int64_t num_layers, hidden, heads, kv_heads, dim, inner, vocabulary, block_size, block_step, threads;
    int64_t int8_kv;  // 1: the cache holds int8
    float eps, head_eps, scale;
};

// One step. Memory of [rows] each but for `logits`, which is [num_wanted, vocabulary].
struct DecoderStep {
    bf16 *x, *normed, *qkv, *attended, *gated;
    float* logits;
    const bf16 *cosine, *sine;
    const int64_t *blocks, *offsets;
    const Piece* pieces;
    const int64_t *tables, *wanted;
    int64_t rows, num_pieces, num_wanted;
    char* memory;  // for the rows of the widest matrix in int8
};

#if BATON_BF16

constexpr int64_t PHASES = 14;  // of a layer, at most; of the logits 3

// S: what the cache holds.
template <class M, class S>
class Pass {
    const Decoder<M>& model_;
    const DecoderStep& step_;
    Crew crew_;
    Tile<bf16, Pairs, S> tile_;
    std::vector<float> sums_;  // of one panel
    const int64_t row_;        // items of a row of qkv
    int64_t rows_;             // still computed

  public:
    Pass(const Decoder<M>& model, const DecoderStep& step, Phase* phases)
        : model_(model),
          step_(step),
          crew_(phases),
          row_((model.heads + 2 * model.kv_heads) * model.dim),
          rows_(step.rows) {
        if (std::is_same_v<M, const Packed*>) sums_.resize(std::max(step.rows, step.num_wanted) * PANEL);
    }

    void layer(const Layer<M>& layer, const Call& call, const Units& units, float* left) {
        keep(layer);
        rest(layer, call, units, left);
    }

    // The last layer: beyond its KV only the rows that are wanted matter, and these come first from here on.
    void last_layer(const Layer<M>& layer, const Call& call, const Units& units, float* left) {
        keep(layer);
        if (rows_ != step_.num_wanted)
            crew_.run(1, [&](int64_t) {
                for (int64_t row = 0; row < step_.num_wanted; ++row) {
                    const int64_t from = step_.wanted[row];
                    std::memmove(step_.x + row * model_.hidden, step_.x + from * model_.hidden, 2 * model_.hidden);
                    std::memmove(step_.qkv + row * row_, step_.qkv + from * row_, 2 * row_);
                }
            });
        rows_ = step_.num_wanted;
        if (rows_) rest(layer, call, units, left);
    }

    void logits() {
        norm(model_.norm);
        logits(model_.head);
    }

  private:
    // Up to the KV in its slots.
    void keep(const Layer<M>& layer) {
        norm(layer.norm);
        linear(step_.normed, model_.hidden, layer.qkv, layer.qkv_bias, nullptr, step_.qkv, row_);
        heads(layer);
    }

    void rest(const Layer<M>& layer, const Call& call, const Units& units, float* left) {
        const DecoderStep& s = step_;
        crew_.run(units.count(), [&](int64_t u) { units.run(call, tile_, u, left); });
        if (units.merges())
            crew_.run(units.merges(), [&](int64_t u) { units.merge<bf16, Pairs>(call, u, left); });
        linear(s.attended, model_.heads * model_.dim, layer.out, layer.out_bias, s.x, s.x, model_.hidden);
        norm(layer.second_norm);
        gated(layer.gate, layer.up);
        linear(s.gated, model_.inner, layer.down, nullptr, s.x, s.x, model_.hidden);
    }

    // work(from, to) for all of n columns, in units of a multiple of `width`.
    template <class Work>
    void spread(int64_t n, int width, Work work) {
        const int64_t columns = unit_columns(n, width, model_.threads);
        crew_.run((n + columns - 1) / columns,
                  [&](int64_t u) { work(u * columns, std::min(u * columns + columns, n)); });
    }

    // work(row), several rows a unit where there are many.
    template <class Work>
    void each_row(int64_t rows, Work work) {
        const int64_t several = std::max<int64_t>(1, rows / (16 * model_.threads));
        crew_.run((rows + several - 1) / several, [&](int64_t u) {
            for (int64_t row = u * several; row < std::min(u * several + several, rows); ++row) work(row);
        });
    }

    // Rows of x into `normed`.
    void norm(const bf16* weight) {
        each_row(rows_, [&](int64_t row) {
            const int64_t at = row * model_.hidden;
            norm_row(step_.x + at, weight, step_.normed + at, model_.hidden, model_.eps);
        });
    }

    void linear(const bf16* x, int64_t k, const bf16* weight, const bf16* bias, const bf16* residual, bf16* out,
                int64_t n) {
        const Rows in{x, k, rows_, k};
        const Segment segment{weight, bias, residual, out, n, n};
        spread(n, ROWS, [&](int64_t from, int64_t to) { segment_unit(in, segment, from, to); });
    }

    void gated(const bf16* gate, const bf16* up) {
        const Rows in{step_.normed, model_.hidden, rows_, model_.hidden};
        spread(model_.inner, 2, [&](int64_t from, int64_t to) {
            gated_unit(in, gate, up, step_.gated, model_.inner, from, to);
        });
    }

    void logits(const bf16* head) {
        const Rows in{step_.normed, model_.hidden, rows_, model_.hidden};
        spread(model_.vocabulary, ROWS, [&](int64_t from, int64_t to) {
            logits_unit(in, head, step_.logits, model_.vocabulary, from, to);
        });
    }

    // work(rows, panel, first row) for all panels of n columns, `width` of them a panel.
    template <class Work>
    void panels(const Rows& in, int64_t n, int width, Work work) {
        const int64_t count = (n + width - 1) / width, rows = unit_rows(in.m, count, model_.threads);
        const int64_t parts = (in.m + rows - 1) / rows;
        crew_.run(count * parts, [&](int64_t u) {
            const int64_t first = u % parts * rows;
            work(rows_from(in, first, rows), u / parts, first);
        });
    }

    void linear(const bf16* x, int64_t k, const Packed* weight, const bf16* bias, const bf16* residual, bf16* out,
                int64_t n) {
        const Segment segment{&weight->number, bias, residual, out, n, n};
        panels({x, k, rows_, k}, n, PANEL, [&](const Rows& in, int64_t panel, int64_t first) {
            panel_segment(in, segment_from(segment, first), panel, sums_.data());
        });
    }

    void gated(const Packed* both, const Packed*) {
        const Rows in{step_.normed, model_.hidden, rows_, model_.hidden};
        panels(in, model_.inner, PANEL / 2, [&](const Rows& rows, int64_t panel, int64_t first) {
            bf16* out = step_.gated + first * model_.inner;
            panel_gated(rows, &both->number, out, model_.inner, panel, sums_.data());
        });
    }

    void logits(const Packed* head) {
        const Rows in{step_.normed, model_.hidden, rows_, model_.hidden};
        panels(in, model_.vocabulary, PANEL, [&](const Rows& rows, int64_t panel, int64_t first) {
            float* out = step_.logits + first * model_.vocabulary;
            panel_logits(rows, &head->number, out, model_.vocabulary, panel, sums_.data());
        });
    }

#if BATON_INT8
    void linear(const bf16* x, int64_t, const int8::Weight* weight, const bf16* bias, const bf16* residual,
                bf16* out, int64_t n) {
        panels(x, rows_, *weight, int8::Output{bias, residual, out, n, n});
    }

    void gated(const int8::Weight* both, const int8::Weight*) {
        panels(step_.normed, rows_, *both, int8::GatedOutput{step_.gated, model_.inner});
    }

    void logits(const int8::Weight* head) {
        panels(step_.normed, rows_, *head, int8::Logits{step_.logits, model_.vocabulary});
    }

    // Two phases: rows of x become int8, then they are multiplied.
    template <class To>
    void panels(const bf16* x, int64_t rows, const int8::Weight& w, const To& output) {
        const int8::Rows in(step_.memory, rows, w.k);
        crew_.run(rows, [&](int64_t row) { int8::quantise_row(x + row * w.k, w.k, in, row); });
        spread(w.panels(), 1, [&](int64_t from, int64_t to) {
            for (int64_t index = from; index < to; ++index) int8::panel(w, index, in, output);
        });
    }
#endif

    // Norms and positions of queries and keys; keys and values go to their slots.
    void heads(const Layer<M>& layer) {
        const int64_t group = model_.heads / model_.kv_heads, dim = model_.dim;
        each_row(rows_ * model_.kv_heads, [&](int64_t at) {
            const int64_t row = at / model_.kv_heads, head = at % model_.kv_heads;
            bf16* queries = step_.qkv + row * row_;
            bf16* key = queries + (model_.heads + head) * dim;
            for (int64_t g = 0; g < group; ++g) turn(queries + (head * group + g) * dim, layer.query_norm, row);
            turn(key, layer.key_norm, row);
            const int64_t slot = step_.blocks[row] * model_.block_step +
                                 (head * model_.block_size + step_.offsets[row]) * kv_width<S>(dim);
            put_kv(key, dim, static_cast<S*>(layer.keys) + slot);
            put_kv(key + model_.kv_heads * dim, dim, static_cast<S*>(layer.values) + slot);
        });
    }

    void turn(bf16* head, const bf16* weight, int64_t row) {
        const int64_t dim = model_.dim;
        if (weight) norm_row(head, weight, head, dim, model_.head_eps);
        rotate_row(head, step_.cosine + row * dim, step_.sine + row * dim, dim);
    }
};

// The rows that are wanted, as pieces of one token each.
inline std::vector<Piece> wanted_pieces(const DecoderStep& step) {
    std::vector<Piece> pieces;
    const Piece* piece = step.pieces;
    for (int64_t i = 0; i < step.num_wanted; ++i) {
        while (step.wanted[i] >= piece->row + piece->count) ++piece;
        pieces.push_back({i, 1, piece->start + step.wanted[i] - piece->row, piece->table});
    }
    return pieces;
}

template <class M>
Call call_of(const Decoder<M>& model, const DecoderStep& step, const Layer<M>& layer) {
    const int64_t row = (model.heads + 2 * model.kv_heads) * model.dim, group = model.heads / model.kv_heads;
    return {step.qkv,   layer.keys,    layer.values,     step.attended,    nullptr,        step.pieces,
            step.tables, step.num_pieces, model.dim,     row,              model.block_step, model.block_size,
            model.kv_heads, group,     model.dim,        model.dim,        layer.window,   model.threads,
            model.scale, 0.0f};
}

template <class S, class M>
void decode(const Decoder<M>* model, const DecoderStep* step) {
    std::vector<Call> calls;
    std::vector<std::unique_ptr<Units>> kinds;  // one for each window there is
    std::vector<const Units*> units;
    int64_t floats = 0;
    for (int64_t l = 0; l < model->num_layers; ++l) {
        calls.push_back(call_of(*model, *step, model->layers[l]));
        int64_t same = 0;
        while (same < l && calls[same].window != calls[l].window) ++same;
        if (same == l) kinds.push_back(std::make_unique<Units>(calls[l]));
        units.push_back(same == l ? kinds.back().get() : units[same]);
        floats = std::max(floats, units[l]->floats());
    }
    const int64_t last = model->num_layers - 1;
    const std::vector<Piece> wanted = wanted_pieces(*step);
    calls[last].pieces = wanted.data();
    calls[last].num_pieces = step->num_wanted;
    const Units wanted_units(calls[last]);
    std::vector<float> left(std::max(floats, wanted_units.floats()));
    std::vector<Phase> phases(model->num_layers * PHASES + 3);
#pragma omp parallel num_threads(model->threads)
    {
        Pass<M, S> pass(*model, *step, phases.data());
        for (int64_t l = 0; l < last; ++l) pass.layer(model->layers[l], calls[l], *units[l], left.data());
        pass.last_layer(model->layers[last], calls[last], wanted_units, left.data());
        if (step->num_wanted) pass.logits();
    }
}

template <class M>
void decode_any(const Decoder<M>* model, const DecoderStep* step) {
    if (model->int8_kv) decode<int8_t>(model, step);
    else decode<bf16>(model, step);
}

#endif

}  // namespace baton

#if BATON_BF16
extern "C" void baton_decode(const baton::Decoder<const baton::bf16*>* model, const baton::DecoderStep* step) {
    baton::decode_any(model, step);
}

extern "C" void baton_decode_packed(const baton::Decoder<const baton::Packed*>* model,
                                    const baton::DecoderStep* step) {
    baton::decode_any(model, step);
}
#endif

#if BATON_INT8
extern "C" void baton_decode_int8(const baton::Decoder<const baton::int8::Weight*>* model,
                                  const baton::DecoderStep* step) {
    baton::decode_any(model, step);
}
#endif
