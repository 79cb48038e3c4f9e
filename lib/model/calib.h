/*
 * A text to calibrate with, as sequences of tokens. Plain text is cut into chunks of
 * CTX tokens, the rest at its end left out, the first token of each replaced by BOS
 * where the model asks for it, as llama-imatrix does. JSON lines (a file that begins
 * with '{', behind a byte order mark and white space if need be) are a sequence each,
 * cut at CTX tokens; lines of white space alone are passed over:
 *
 *   {"tokens": [1, 5], "vocabulary": "0123456789abcdef", "text": "..."}
 *   {"text": "..."}
 *   {"prompt": "...", "answer": "..."}    or "choices" and "gold": the right one
 *
 * Where the answer begins is kept: at the number of tokens that the prompt has alone,
 * blanks at its end counted with the answer, as tasks are scored (method/exam.h).
 * The tokens are taken where the vocabulary's checksum (mpq_tokenizer_checksum) is the
 * model's; otherwise the text is read.
 */
#ifndef MPQ_MODEL_CALIB_H
#define MPQ_MODEL_CALIB_H

#include "model/forward.h"
#include "model/tokenizer.h"

struct mpq_calib {
    struct mpq_seqs seqs; /* what the forward pass takes */
    struct mpq_tokens tokens;
    size_t *start;  /* [seqs.n + 1] */
    size_t *answer; /* [seqs.n] tokens before a line's answer; 0: it has none */
    size_t room;
    uint64_t id;               /* checksum of the file's bytes */
    struct mpq_tokens between; /* put between lines that are joined, see below */
};

/* Reads PATH ("-": standard input) for the model S. N_SEQS: at most so many sequences,
 * 0 for all. Text that is not UTF-8, or is shorter than one chunk, is an error that
 * says where, or how many tokens there are; so is a CTX above the model's context. On
 * success *out is the caller's to free. */
MPQ_MUST_CHECK int
mpq_calib_read(struct mpq_calib *out, const char *path, const struct mpq_source *s,
               size_t ctx, size_t n_seqs, struct mpq_err *err);
/* The same of all, lines of JSON being whole, however long: for mpq_calib_recut. */
MPQ_MUST_CHECK int
mpq_calib_read_whole(struct mpq_calib *out, const char *path,
                     const struct mpq_source *s, size_t ctx, struct mpq_err *err);
void mpq_calib_free(struct mpq_calib *c); /* and makes it empty */

/* Joins the sequences and cuts them anew, every CTX tokens; what is left over at the
 * end is dropped unless it is all there is. (Traces of samples of unlike lengths do not
 * compare: what a model does at a first token weighs more in short ones.) JSON lines
 * are parted by a blank line, where the model does not begin each with a token of its
 * own. */
MPQ_MUST_CHECK int
mpq_calib_recut(struct mpq_calib *c, size_t ctx, struct mpq_err *err);
/* Appends to OUT (zeroed at first) sequences of C drawn by SEED, whole ones and the
 * last cut, until they have N_TOKENS; all of C where it has no more. *drawn: how many
 * it got. The order is that of the draw. */
MPQ_MUST_CHECK int
mpq_calib_draw(struct mpq_calib *out, const struct mpq_calib *c, uint64_t n_tokens,
               uint64_t seed, uint64_t *drawn, struct mpq_err *err);

#endif
