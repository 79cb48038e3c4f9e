/*
 * What gets a type of its own: single matrices, modules or whole layers, joined further
 * by ties.
 * Matrices that have no choice (pinned, kept, outside the budget) are in no unit.
 */
#ifndef MPQ_METHOD_UNITS_H
#define MPQ_METHOD_UNITS_H

#include "model/policy.h"

struct mpq_units {
    size_t n;
    size_t *first;           /* [n + 1] into member */
    size_t *member;          /* positions of matrices in the layout, in its order */
    size_t *unit;            /* [layout->n] the matrix's unit, SIZE_MAX for none */
    struct mpq_type *fixed;  /* [layout->n] its type when it is in none */
    unsigned char *by_layer; /* [layout->n] its unit is the whole of its layer */
    char (*name)[64];        /* [n] for messages: of layer, module or first matrix */
};

/*
 * Builds the units of LAYOUT, split as SPLIT says (not MPQ_SPLIT_DEFAULT). BY_SIZE:
 * embedding and output have a choice too; otherwise they have p->rest or stay. Ties of
 * POLICY and of RULES join units; a pin holds for all that is tied to it. -1 when a pin
 * or tie names nothing in the model, pins of one tie differ, or a pinned type is not
 * legal there.
 */
MPQ_MUST_CHECK int
mpq_units_build(struct mpq_units *out, const struct mpq_layout *layout,
                const struct mpq_policy *policy, const struct mpq_rules *rules,
                enum mpq_split split, int by_size, struct mpq_err *err);
/* Zeroed is fine; empty afterward. */
void mpq_units_free(struct mpq_units *u);

#endif
