/*
 * A Hugging Face model as llama.cpp's GGUF would have it: metadata, names, order and
 * what must be done to the values. Facts are those of llama.cpp's conversion scripts
 * (conversion/NAME.py) and of the code that reads the result (src/models/NAME.cpp).
 *
 *   q, k of llama   rows of each head dealt out: its halves become neighbors
 *   Gemma's norms   gains with their 1
 *   vectors         F32
 *   rope_freqs      made from config.json where the scaling is llama3
 *   left out        frequencies kept beside the weights; vision and audio parts
 *
 * What GGUF cannot say (an attention scale of its own, a window where the architecture
 * has none, rounding rules) is an error that names it, not another model: what the keys
 * say is read back and held against config.json.
 */
#ifndef MPQ_MODEL_CONVERT_H
#define MPQ_MODEL_CONVERT_H

#include "base/pool.h"
#include "model/source.h"

enum {
    MPQ_CONVERT_ALIGNMENT = 32,
    MPQ_CONVERT_NOTE = 256,
    MPQ_CONVERT_HEAD_MAX = 1024
};

struct mpq_convert_tensor {
    const char *name;                /* in the GGUF */
    const struct mpq_weight *weight; /* of the source, or made here */
    size_t index;                    /* of the weight in the source; made: SIZE_MAX */
    uint64_t head;                   /* rows of a head that are dealt out; 0: none */
    float plus;                      /* added to every value */
};

struct mpq_convert {
    struct mpq_buf keys_bytes;
    struct mpq_gguf *keys;              /* the metadata, as a GGUF without tensors */
    struct mpq_convert_tensor *tensors; /* [n], in the order of the file */
    size_t n;
    struct mpq_weight made; /* rope_freqs */
    float *made_values;
    struct mpq_pool strings;
    char note[MPQ_CONVERT_NOTE]; /* what the user should know; empty: nothing */
};

/* Is S a model that mpq_convert_open may take: safetensors with a configuration of a
 * known architecture, or with GGUF keys in its header? (It may still fail.) */
int mpq_convert_knows(const struct mpq_source *s);
/* Plans the conversion of S, which is borrowed. A model whose header carries GGUF keys
 * (a native container of a GGUF) keeps them, its names and its values. On success *out
 * is for mpq_convert_free. */
MPQ_MUST_CHECK int mpq_convert_open(struct mpq_convert *out, const struct mpq_source *s,
                                    struct mpq_err *err);
/* Holds the tokenizer of the new keys against that of S on a text that pre-tokenizers
 * part in different ways. With a pre-tokenizer that the user named a difference is a
 * note, else an error. */
MPQ_MUST_CHECK int
mpq_convert_check_tokens(struct mpq_convert *c, const struct mpq_source *s,
                         struct mpq_err *err);
/* Zeroed is fine; empty afterward. */
void mpq_convert_free(struct mpq_convert *c);

/* Is W left out of a GGUF (see above)? */
int mpq_convert_drops(const struct mpq_weight *w);
/* Row ROW of the GGUF's matrix, whose heads of HEAD rows are dealt out, in the file. */
uint64_t mpq_convert_row(uint64_t row, uint64_t head);

#endif
