/* The work on one layer: a list of independent items, and what they came to. */
#ifndef MPQ_METHOD_SURVEY_LAYER_H
#define MPQ_METHOD_SURVEY_LAYER_H

#include "method/survey_own.h"

enum mpq_item_kind {
    MPQ_ITEM_MLP,      /* NSDS and spectrum of a matrix */
    MPQ_ITEM_SPECTRUM, /* the spectrum alone */
    MPQ_ITEM_QK,
    MPQ_ITEM_OV,
};

/* Rows [row, row + rows) of a weight: a whole one, an expert, a part of a fused one. */
struct mpq_part {
    const struct mpq_weight *w;
    uint64_t row, rows;
};

struct mpq_item {
    enum mpq_item_kind kind;
    enum mpq_component component;
    struct mpq_part part; /* MLP, SPECTRUM */
    uint64_t kv, head,
        n_heads;          /* QK, OV: query heads [head, head + n_heads) of head kv */
    struct mpq_nsds nsds; /* MLP: the result */
    struct mpq_spectrum spectrum;
};

struct mpq_layer_work {
    struct mpq_survey *v;
    int layer;
    struct mpq_item *items;
    size_t n_items, cap_items;
    struct mpq_part q, k, value, o; /* attention; w NULL where the layer has none */
    uint64_t n_head, n_kv, qk_rank, ov_rank;
    float *o_all;             /* [o.rows][o.w->cols] */
    struct mpq_nsds *qk, *ov; /* [n_head]; NULL where there are none */
};

/* Spectra and NSDS of the layer in hand. */
MPQ_MUST_CHECK int mpq_layer_work_run(struct mpq_layer_work **out, struct mpq_survey *v,
                                      int layer, struct mpq_err *err);
void mpq_layer_work_free(struct mpq_layer_work *k);
/* Puts the rows of tensor W, and at the end those of the paper components. */
MPQ_MUST_CHECK int
mpq_layer_work_tensor(const struct mpq_layer_work *k, struct mpq_survey *v,
                      const struct mpq_weight *w, struct mpq_err *err);
MPQ_MUST_CHECK int mpq_layer_work_paper(const struct mpq_layer_work *k,
                                        struct mpq_survey *v, struct mpq_err *err);

/* For the files of the layer's work: messages, items, and what items do. */
int mpq_work_no_memory(const struct mpq_layer_work *k, struct mpq_err *err);
int
mpq_work_misfit(const struct mpq_layer_work *k, const struct mpq_weight *w,
                const char *what, uint64_t has, uint64_t wants, struct mpq_err *err);
/* A new item at the end of the list; NULL with *err set when memory ends. */
struct mpq_item *
mpq_work_add(struct mpq_layer_work *k, enum mpq_item_kind kind, struct mpq_err *err);
/* Finds the attention's tensors, checks their shapes, and adds the items of its heads.
 */
MPQ_MUST_CHECK int mpq_work_attention(struct mpq_layer_work *k, struct mpq_err *err);
MPQ_MUST_CHECK int mpq_work_heads(struct mpq_layer_work *k, const struct mpq_item *it,
                                  struct mpq_err *err);

#endif
