/* What the files that plan a packed file share; nobody else includes this. */
#ifndef MPQ_MODEL_PACKFILE_OWN_H
#define MPQ_MODEL_PACKFILE_OWN_H

#include "model/packfile.h"

/* PROVENANCE cut or filled up with blanks to MPQ_PROVENANCE_BYTES, and a NUL. */
void mpq_packfile_pad(char text[MPQ_PROVENANCE_BYTES + 1], const char *provenance);

/* Set out->head, out->pieces and out->size_bytes. out->form and the pieces' room are
 * there already; TYPES have been checked. */
MPQ_MUST_CHECK int
mpq_packgguf_plan(struct mpq_packfile *out, const struct mpq_source *s,
                  const struct mpq_type *types, const char *provenance,
                  struct mpq_err *err);
MPQ_MUST_CHECK int mpq_packst_plan(struct mpq_packfile *out, const struct mpq_source *s,
                                   const struct mpq_type *types, const char *provenance,
                                   struct mpq_err *err);
MPQ_MUST_CHECK int mpq_packhf_plan(struct mpq_packfile *out, const struct mpq_source *s,
                                   const struct mpq_type *types, const char *provenance,
                                   struct mpq_err *err);
/* The type that the values of W are stored in once they have been rounded to TYPE. */
struct mpq_type mpq_packst_float(const struct mpq_weight *w, struct mpq_type type);

#endif
