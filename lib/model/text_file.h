/* A text as the tokens of a model. */
#ifndef MPQ_MODEL_TEXT_FILE_H
#define MPQ_MODEL_TEXT_FILE_H

#include "model/tokenizer.h"

/* BOS where the model asks for it before every text, else -1. */
int64_t mpq_text_bos(const struct mpq_tokenizer *tok);
/* Appends the tokens of the file PATH ("-": standard input), BOS first where the model
 * asks for it (and no EOS), to OUT. FLAGS: MPQ_TOKENS_PARSE_SPECIAL or 0. -1 also when
 * it is empty or no UTF-8. */
MPQ_MUST_CHECK int
mpq_text_open(struct mpq_tokens *out, const char *path, const struct mpq_tokenizer *tok,
              unsigned flags, struct mpq_err *err);
/* Checksum of N tokens before which BOS may stand: 16 hexadecimal digits, NUL. */
void mpq_text_checksum(const uint32_t *ids, size_t n, int64_t bos, char hex[17]);

#endif
