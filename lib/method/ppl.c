#include "method/ppl.h"

#include <string.h>

int
mpq_ppl_plan(struct mpq_ppl *p, size_t n_tokens, size_t ctx, size_t stride,
             size_t max_chunks, const char *name, struct mpq_err *err)
{
    enum { LEAST_CTX = 4 };

    if (ctx < LEAST_CTX || stride >= ctx)
        return mpq_fail(err, MPQ_EUSAGE, "a stride of %zu in chunks of %zu tokens",
                        stride, ctx);
    if (n_tokens < ctx || (stride > 0 && n_tokens == ctx))
        return mpq_fail(err, MPQ_EDATA, "%s: %zu tokens, %zu needed for one chunk",
                        name, n_tokens, stride > 0 ? ctx + 1 : ctx);
    p->ctx = ctx;
    if (stride > 0) {
        p->step = p->n_scored = stride;
        p->n_chunks = (n_tokens - ctx + stride - 1) / stride;
    } else {
        p->step = ctx;
        p->n_scored = ctx - 1 - ctx / 2;
        p->n_chunks = n_tokens / ctx;
    }
    p->first = ctx - p->n_scored;
    if (max_chunks > 0 && max_chunks < p->n_chunks)
        p->n_chunks = max_chunks;
    return 0;
}

void
mpq_ppl_chunk(const struct mpq_ppl *p, size_t c, const uint32_t *tokens, int64_t bos,
              uint32_t *dst)
{
    memcpy(dst, tokens + c * p->step, p->ctx * sizeof *dst);
    if (bos >= 0)
        dst[0] = (uint32_t)bos;
}
