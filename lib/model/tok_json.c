#include "model/tok_own.h"
int
mpq_tok_read_json(struct mpq_tokenizer *t, const struct mpq_json *json,
                  const struct mpq_json *config, const char *name, struct mpq_err *err)
{
    (void)t;
    (void)json;
    (void)config;
    return mpq_fail(err, MPQ_EDATA, "%s: not read yet: only GGUF vocabularies are",
                    name);
}
