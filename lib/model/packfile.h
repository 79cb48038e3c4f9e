/*
 * What mpq-pack is going to write: the header and the tensors behind it, known to the
 * byte before a weight has been touched. pack.h fills it with weights.
 *
 * gguf    of a GGUF, all metadata of the source in place and order (of any other model
 *         what convert.h makes of it); general.file_type and
 *         general.quantization_version are set; mpq.plan (an array of u8, the ggml type
 *         of each tensor) and mpq.provenance (a string, padded with blanks to 1,024
 *         bytes) are added, so the header's length depends on no type.
 * native  safetensors with packed matrices, described in native.h.
 * fake    safetensors with each matrix rounded to its planned type and decoded again,
 *         under its original name. It is stored in the type that it had if that is
 *         f32, f16 or bf16, else (the source was quantized) in f32, which holds every
 *         decoded value exactly.
 * hf      model.safetensors of a folder that Transformers loads, each matrix rounded
 *         and decoded as in a fake file, but stored as planned where that is f32, f16,
 *         bf16; of intB the values are those of the next three
 * ct, gptq, gptq_v2
 *         the same with rounded matrices as checkpoint.h says
 */
#ifndef MPQ_MODEL_PACKFILE_H
#define MPQ_MODEL_PACKFILE_H

#include "model/convert.h"
#include "model/layout.h"
#include "model/unconvert.h"

enum { MPQ_PROVENANCE_BYTES = 1024 };

enum mpq_packform {
    MPQ_PACK_GGUF,
    MPQ_PACK_FAKE,
    MPQ_PACK_NATIVE,
    MPQ_PACK_HF,
    MPQ_PACK_CT,
    MPQ_PACK_GPTQ,
    MPQ_PACK_GPTQ_V2,
};

/* A tensor of the output. */
struct mpq_piece {
    const struct mpq_weight *weight;
    const char *name;       /* in the file */
    size_t index;           /* of the weight in the source; SIZE_MAX: in none */
    uint64_t head;          /* rows (of a vector: values) of a head, dealt out; 0 */
    int gathers;            /* such heads are gathered again */
    float plus;             /* added to every value */
    struct mpq_type type;   /* what the plan gives it */
    struct mpq_type stored; /* what the file holds: another one in a fake file only */
    uint64_t bytes;         /* in the file, without padding */
    uint64_t padding;       /* zero bytes after it */
};

struct mpq_packfile {
    enum mpq_packform form;
    struct mpq_buf head;
    struct mpq_piece *pieces; /* [n], in the order of the file */
    size_t n;
    uint64_t size_bytes;        /* of the whole file */
    struct mpq_convert convert; /* of a model that becomes a GGUF; otherwise empty */
    struct mpq_unconvert unconvert; /* of a GGUF that becomes a folder */
};

/*
 * Plans the file. TYPES[i] is the type of weight i of S (mpq_source_count of them; for
 * what is no matrix, its present type). PROVENANCE is cut at 1,024 bytes. -1 when a
 * type does not fit its rows, the form cannot hold it, or it can be neither encoded nor
 * copied: tensor and type are named. S must outlive *out, which mpq_packfile_free ends.
 */
MPQ_MUST_CHECK int
mpq_packfile_plan(struct mpq_packfile *out, const struct mpq_source *s,
                  enum mpq_packform form, const struct mpq_type *types,
                  const char *provenance, struct mpq_err *err);
/* Zeroed is fine; empty afterward. */
void mpq_packfile_free(struct mpq_packfile *f);

/* Appends "#type tensors params bytes", tab-separated, a row for each planned type in
 * the order of the file, then rows named header, padding and total (check out->failed).
 */
void mpq_packfile_table(const struct mpq_packfile *f, struct mpq_buf *out);
/* Is the piece a copy of the source's bytes, row by row? */
int mpq_piece_is_copy(const struct mpq_piece *p);

/* Bytes of the header that a GGUF, or a native container, of this model has, whatever
 * the types. *rest takes the bytes of the GGUF's tensors that are no matrices, each
 * padded. -1 with *err set: among others when S can be no GGUF. */
MPQ_MUST_CHECK int
mpq_packfile_gguf_head_bytes(const struct mpq_source *s, uint64_t *bytes,
                             uint64_t *rest, struct mpq_err *err);
MPQ_MUST_CHECK int mpq_packfile_native_head_bytes(const struct mpq_source *s,
                                                  uint64_t *bytes, struct mpq_err *err);

#endif
