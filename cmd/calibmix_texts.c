/* mpq-calibmix: the texts, and samples of them in shares. */
#include "calibmix_own.h"

#include "base/buf.h"
#include "method/mix.h"

#include <stdlib.h>

int
calibmix_no_memory(struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "out of memory");
}

int
calibmix_read_text(struct calibmix_job *j, const char *path, struct mpq_calib *text,
                   struct mpq_err *err)
{
    if (mpq_calib_read_whole(text, path, j->model, (size_t)calibmix.ctx, err) < 0)
        return -1;
    return mpq_calib_recut(text, (size_t)calibmix.ctx, err);
}

int
calibmix_compose(const struct calibmix_job *j, const double *shares, uint64_t total,
                 struct mpq_calib *out, size_t **from, struct mpq_err *err)
{
    uint64_t *tokens = mpq_array(j->n, sizeof *tokens), drawn;
    size_t *whose = NULL;
    int rc = -1;

    if (!tokens)
        return calibmix_no_memory(err);
    mpq_mix_tokens(shares, j->n, total, tokens);
    for (size_t i = 0; i < j->n; i++) {
        const size_t before = out->seqs.n;
        if (tokens[i] == 0)
            continue;
        if (mpq_calib_draw(out, &j->texts[i], tokens[i], cli.seed + i, &drawn, err) < 0)
            goto out;
        if (drawn < tokens[i]) {
            mpq_fail(err, MPQ_ENOFIT,
                     "%s: %llu tokens in samples of %llu, its share is %llu",
                     j->names ? j->names[i] : calibmix.sources.items[i],
                     (unsigned long long)drawn, (unsigned long long)calibmix.ctx,
                     (unsigned long long)tokens[i]);
            goto out;
        }
        size_t *more = realloc(whose, (out->seqs.n + 1) * sizeof *more);
        if (!more) {
            calibmix_no_memory(err);
            goto out;
        }
        whose = more;
        for (size_t k = before; k < out->seqs.n; k++)
            whose[k] = i;
    }
    rc = 0;
out:
    free(tokens);
    if (rc == 0 && from)
        *from = whose;
    else
        free(whose);
    return rc;
}
