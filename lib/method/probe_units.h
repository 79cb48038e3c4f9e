/* What a probe quantizes at a time. */
#ifndef MPQ_METHOD_PROBE_UNITS_H
#define MPQ_METHOD_PROBE_UNITS_H

#include "model/source.h"

enum mpq_probe_by { MPQ_BY_LAYER, MPQ_BY_MODULE, MPQ_BY_TENSOR };

struct mpq_probe_unit {
    char name[MPQ_SHORT_MAX]; /* blk.3, blk.3.attn, blk.3.ffn, blk.3.ffn_up, output */
    int layer;                /* -1 outside the blocks */
    int from;                 /* the LAYER of mpq_probe_run */
    const struct mpq_weight *const *weights; /* [n] */
    size_t n;
    uint64_t params;
};

struct mpq_probe_units {
    struct mpq_probe_unit *units; /* [n] outside the blocks first, then by layer */
    size_t n;
    const struct mpq_weight **weights;
};

/* The units of layers [first, last] of S; with REST and layer 0 also token_embd and
 * output. On success *out is the caller's to free. */
MPQ_MUST_CHECK int
mpq_probe_units_new(struct mpq_probe_units *out, const struct mpq_source *s,
                    enum mpq_probe_by by, int rest, uint64_t first, uint64_t last,
                    struct mpq_err *err);
/* Zeroed is fine; empty afterward. */
void mpq_probe_units_free(struct mpq_probe_units *u);

/* Can all of its matrices have type T? */
int mpq_probe_unit_takes(const struct mpq_probe_unit *u, struct mpq_type t);
/* Mean bits of a weight, scales included. */
double mpq_probe_unit_bits(const struct mpq_probe_unit *u, struct mpq_type t);

#endif
