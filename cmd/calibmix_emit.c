/* mpq-calibmix --emit: the samples of the mixture that was chosen. */
#include "calibmix_own.h"

#include "base/buf.h"
#include "base/parse.h"
#include "base/text.h"
#include "fmt/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The samples are as long as those that were compared, unless --ctx says otherwise. */
static int
read_ctx(const struct calibmix_job *j, struct mpq_err *err)
{
    if (cli_given("ctx"))
        return 0;
    for (size_t i = 0; i < mpq_tsv_meta_count(j->mix); i++) {
        const char *line = mpq_tsv_meta(j->mix, i);
        if (!mpq_text_begins(line, "ctx "))
            continue;
        if (mpq_parse_u64(line + 4, &calibmix.ctx) == 0 && calibmix.ctx >= 8 &&
            calibmix.ctx <= 1 << 20)
            return 0;
        return mpq_fail(err, MPQ_EDATA, "%s: ##%s: not from 8 to %d",
                        mpq_tsv_name(j->mix), line, 1 << 20);
    }
    cli_note("%s: no line ##ctx: samples have %" PRIu64 " tokens", mpq_tsv_name(j->mix),
             calibmix.ctx);
    return 0;
}

/* "source id=" and 16 hex digits, then a name. */
static int
check_ids(const struct calibmix_job *j, struct mpq_err *err)
{
    static const char begin[] = "source id=", middle[] = " name=";

    for (size_t k = 0; k < mpq_tsv_meta_count(j->mix); k++) {
        const char *line = mpq_tsv_meta(j->mix, k);
        if (!mpq_text_begins(line, "source "))
            continue;
        const size_t n = sizeof begin - 1;
        if (!mpq_text_begins(line, begin) ||
            strspn(line + n, "0123456789abcdef") != 16 ||
            !mpq_text_begins(line + n + 16, middle))
            return mpq_fail(err, MPQ_EDATA, "%s: ##%.200s: not ##%s(16 digits)%sFILE",
                            mpq_tsv_name(j->mix), line, begin, middle);
    }
    return 0;
}

/* Is source I what it was when its share was found? A table made by hand does not say.
 */
static int
check_source(const struct calibmix_job *j, size_t i, struct mpq_err *err)
{
    char id[48];

    snprintf(id, sizeof id, "source id=%016" PRIx64 " name=", j->texts[i].id);
    for (size_t k = 0; k < mpq_tsv_meta_count(j->mix); k++) {
        const char *line = mpq_tsv_meta(j->mix, k);
        if (mpq_text_begins(line, "source ") && /* as check_ids wants it */
            strcmp(line + strlen(id), j->names[i]) == 0 && !mpq_text_begins(line, id))
            return mpq_fail(err, MPQ_EDATA,
                            "%s: is not what it was when %s was made: find the mixture"
                            " again",
                            j->names[i], mpq_tsv_name(j->mix));
    }
    return 0;
}

/* Sources and shares of the chosen rows. */
static int
read_choice(struct calibmix_job *j, struct mpq_err *err)
{
    int source, weight, chosen;
    double sum = 0;

    if (mpq_tsv_read(&j->mix, calibmix.emit, "mix", err) < 0 || read_ctx(j, err) < 0 ||
        check_ids(j, err) < 0 || (source = mpq_tsv_need(j->mix, "source", err)) < 0 ||
        (weight = mpq_tsv_need(j->mix, "weight", err)) < 0 ||
        (chosen = mpq_tsv_need(j->mix, "chosen", err)) < 0)
        return -1;
    const size_t rows = mpq_tsv_rows(j->mix);
    j->shares = mpq_array(rows, sizeof *j->shares);
    j->names = mpq_array(rows, sizeof *j->names);
    if (!j->shares || !j->names)
        return calibmix_no_memory(err);
    for (size_t r = 0; r < rows; r++) {
        uint64_t is_chosen;
        double share;
        if (mpq_tsv_u64(j->mix, r, (size_t)chosen, &is_chosen, err) < 0 ||
            mpq_tsv_double(j->mix, r, (size_t)weight, &share, err) < 0)
            return -1;
        if (!is_chosen)
            continue;
        if (!(share >= 0 && share <= 1))
            return mpq_fail(err, MPQ_EDATA, "%s:%zu: weight %g is not from 0 to 1",
                            mpq_tsv_name(j->mix), mpq_tsv_line(j->mix, r), share);
        j->names[j->n] = mpq_tsv_cell(j->mix, r, (size_t)source);
        j->shares[j->n++] = share;
        sum += share;
    }
    if (j->n == 0)
        return mpq_fail(err, MPQ_EDATA, "%s: no row is chosen", mpq_tsv_name(j->mix));
    if (!(sum > 1 - 1e-6 && sum < 1 + 1e-6))
        return mpq_fail(err, MPQ_EDATA, "%s: the chosen weights sum to %g, not to 1",
                        mpq_tsv_name(j->mix), sum);
    return 0;
}

static int
put_sample(struct mpq_out *out, const struct mpq_tokenizer *tok, const uint32_t *ids,
           size_t n, const char *source, struct mpq_err *err)
{
    struct mpq_buf text = { 0 }, line = { 0 };
    char vocabulary[17];
    int rc = -1;

    mpq_tokenizer_checksum(tok, vocabulary);
    mpq_tokenizer_decode(tok, ids, n, &text);
    mpq_buf_adds(&line, "{\"text\": ");
    mpq_json_quote(&line, text.len ? text.data : "", text.len);
    mpq_buf_adds(&line, ", \"tokens\": [");
    for (size_t i = 0; i < n; i++)
        mpq_buf_printf(&line, "%s%lu", i ? ", " : "", (unsigned long)ids[i]);
    mpq_buf_printf(&line, "], \"vocabulary\": \"%s\", \"source\": ", vocabulary);
    mpq_json_quote(&line, source, strlen(source));
    mpq_buf_adds(&line, "}\n");
    if (text.failed || line.failed)
        calibmix_no_memory(err);
    else
        rc = mpq_out_write(out, line.data, line.len, err);
    mpq_buf_free(&text);
    mpq_buf_free(&line);
    return rc;
}

int
calibmix_emit(struct calibmix_job *j, struct mpq_err *err)
{
    struct mpq_tokenizer *tok = NULL;
    struct mpq_calib mix = { 0 };
    struct mpq_out *out = NULL;
    size_t *from = NULL;
    int rc = -1;

    if (read_choice(j, err) < 0 || mpq_tokenizer_new(&tok, j->model, err) < 0)
        goto out;
    j->texts = mpq_array(j->n, sizeof *j->texts);
    if (!j->texts) {
        calibmix_no_memory(err);
        goto out;
    }
    for (size_t i = 0; i < j->n; i++) {
        cli_refuse_input_of("-o", cli.output, j->names[i]);
        if (j->shares[i] > 0 &&
            (calibmix_read_text(j, j->names[i], &j->texts[i], err) < 0 ||
             check_source(j, i, err) < 0))
            goto out;
    }
    if (calibmix_compose(j, j->shares, calibmix.samples * calibmix.ctx, &mix, &from,
                         err) < 0 ||
        cli_open_output(&out, 0, err) < 0)
        goto out;
    for (size_t s = 0; s < mix.seqs.n; s++)
        if (put_sample(out, tok, mix.tokens.ids + mix.start[s],
                       mix.start[s + 1] - mix.start[s], j->names[from[s]], err) < 0)
            goto out;
    rc = mpq_out_close(out, err);
    out = NULL;
out:
    free(from);
    mpq_out_free(out);
    mpq_calib_free(&mix);
    mpq_tokenizer_free(tok);
    return rc;
}
