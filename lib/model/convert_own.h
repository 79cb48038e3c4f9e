/* What the convert*.c files share; nobody else includes this. */
#ifndef MPQ_MODEL_CONVERT_OWN_H
#define MPQ_MODEL_CONVERT_OWN_H

#include "fmt/json.h"
#include "model/convert.h"
#include "model/net_own.h"

/* What is known of the model while its keys are written. */
struct mpq_convert_facts {
    const struct mpq_source *source;
    struct mpq_net net; /* checked against the tensors */
    struct mpq_net_facts facts;
    const char *arch;
};

/* Appends every key but those of the tokenizer. */
MPQ_MUST_CHECK int
mpq_convert_put_keys(struct mpq_gguf_head *h, const struct mpq_convert_facts *f,
                     struct mpq_err *err);
/* Appends tokenizer.*: N_VOCAB tokens, as many as the embedding has rows. */
MPQ_MUST_CHECK int
mpq_convert_put_tokenizer(struct mpq_gguf_head *h, const struct mpq_source *s,
                          size_t n_vocab, struct mpq_err *err);
/* The name in tokenizer.ggml.pre for the stages of a byte-level tokenizer.json, or NULL
 * when they are none that is known. WHAT takes them in a form for messages. */
const char *mpq_convert_pre(const struct mpq_json *json, struct mpq_buf *what);
/* The stages of the pre-tokenizer that llama.cpp calls PRE, parted by U+0001 as in
 * convert_pre.c; NULL when it is not known. *IGNORES: words that are tokens are not
 * merged. */
const char *mpq_convert_stages(const char *pre, int *ignores);
/* Reads back C's keys and holds what they say against F: the first thing that GGUF
 * cannot say is an error, a window that it leaves out a note. */
MPQ_MUST_CHECK int
mpq_convert_check_keys(struct mpq_convert *c, const struct mpq_convert_facts *f,
                       struct mpq_err *err);

#endif
