/*
 * What single units of a model are worth: other weights are put in the place of some,
 * and texts and tasks are measured beside the unchanged model, token by token and item
 * by item. What lies below the first of them is not computed again: the hidden states
 * that enter its layer are kept, so units must come in the order of the layers. Of the
 * unchanged model what the comparison takes is kept too.
 *
 * The other way round, with a reference: the model is one that was quantized, and units
 * are given back the reference's weights. Divergence is from the reference then, and a
 * delta what the unit's present weights cost among all the others of the model.
 */
#ifndef MPQ_METHOD_PROBE_H
#define MPQ_METHOD_PROBE_H

#include "method/exam.h"
#include "method/report.h"

struct mpq_probe_text {
    const char *name;
    const struct mpq_ppl *plan;
    const uint32_t *tokens;
};

struct mpq_probe_options {
    const struct mpq_source *source;
    const struct mpq_source *ref; /* whose weights units are given back; or NULL */
    const struct mpq_probe_text *texts; /* [n_texts] */
    size_t n_texts;
    int64_t bos;                  /* see mpq_ppl_chunk */
    const struct mpq_exam *exams; /* [n_exams]; one without metrics is passed over */
    size_t n_exams;
    const struct mpq_tokenizer *tok;
    unsigned metrics; /* MPQ_PROBE_METRICS at most */
    unsigned threads;
    int int8; /* see mpq_forward_int8 */
    /* For the hidden states in memory (the rest is in files), as much again for decoded
     * weights and as much for the logits of the unchanged model: those that find no
     * room are computed anew each time. */
    size_t max_bytes;
    size_t first, last; /* the lowest and the highest layer that will be asked for */
    /* Told of N more tokens having passed a layer, or NULL. */
    void (*progress)(void *ctx, uint64_t n);
    void *ctx;
};
enum {
    MPQ_PROBE_METRICS = MPQ_METRIC_PPL | MPQ_METRIC_NLL | MPQ_METRIC_KLD |
                        MPQ_METRIC_ACC | MPQ_METRIC_ACC_NORM | MPQ_METRIC_LOSS |
                        MPQ_METRIC_EM
};

/* BASE: of the unchanged model; VALUE: with the other weights; the other way round with
 * a reference. DELTA > 0 is worse. */
struct mpq_probe_row {
    const char *task, *metric;
    double base, value, delta, se;
};

struct mpq_probe; /* opaque */

/* All is borrowed. */
MPQ_MUST_CHECK int
mpq_probe_new(struct mpq_probe **out, const struct mpq_probe_options *o,
              struct mpq_err *err);
void mpq_probe_free(struct mpq_probe *p);
/* The rows that every run gives, task by task: their names, and what the last run found
 * out. */
const struct mpq_probe_row *mpq_probe_rows(const struct mpq_probe *p, size_t *n);
/* The first run of all runs the unchanged model too. Runs with WITH[n] in the place of
 * the weights of the same names (none: nothing is computed, all deltas are 0), of which
 * the lowest belongs to LAYER: -1 for the embedding, the number of layers for an
 * unembedding of its own. LAYER must not go down, but -1 and the unembedding may come
 * at any time. */
MPQ_MUST_CHECK int
mpq_probe_run(struct mpq_probe *p, int layer, const struct mpq_weight *with, size_t n,
              struct mpq_err *err);
/* What a run at LAYER tells PROGRESS of in all; the unchanged model is a run at -1 and,
 * to bring the kept states to LAYER, the difference of runs at 0 and there. */
uint64_t
mpq_probe_cost(const struct mpq_probe_options *o, const struct mpq_net *net, int layer);

#endif
