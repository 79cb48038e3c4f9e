/* mpq-eval --each --resume: going on from the rows that are there. */
#include "eval_each_own.h"

#include "base/parse.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

void
each_row_name(struct mpq_buf *out, const struct mpq_probe_unit *u, struct mpq_type t,
              const struct mpq_probe_row *r)
{
    char name[MPQ_TYPE_NAME_MAX];

    mpq_buf_printf(out, "%s\t%s\t%.17g\t%" PRIu64 "\t%s\t%s\t", u->name,
                   mpq_type_name(t, name), mpq_probe_unit_bits(u, t), u->params,
                   r->task, r->metric);
}

/* What has been written so far. */
struct past {
    const char *at, *end;
    size_t line;
};

/* The next whole line, without its end; NULL when there is none. */
static const char *
next_line(struct past *p, size_t *n)
{
    const char *line = p->at;
    const char *end =
        p->at < p->end ? memchr(p->at, '\n', (size_t)(p->end - p->at)) : 0;

    if (!end)
        return NULL;
    *n = (size_t)(end - line);
    p->at = end + 1;
    p->line++;
    return line;
}

/* Says where a line parts from what it should be; what is alike before is cut. */
static int
refuse(const struct past *p, const char *line, size_t n, const char *want,
       struct mpq_err *err)
{
    enum { BEFORE = 30, MOST = 100 };
    const char *end = memchr(line, '\n', n);
    size_t was = end ? (size_t)(end - line) : n, is = strcspn(want, "\n"), alike = 0;

    while (alike < was && alike < is && line[alike] == want[alike])
        alike++;
    const size_t skip = alike > BEFORE ? alike - BEFORE : 0;
    const char *dots = skip ? "..." : "";
    was -= skip;
    is -= skip;
    return mpq_fail(err, MPQ_EDATA,
                    "%s:%zu: '%s%.*s' where '%s%.*s' should be: the output of another"
                    " command",
                    ev.resume, p->line, dots, (int)(was < MOST ? was : MOST),
                    line + skip, dots, (int)(is < MOST ? is : MOST), want + skip);
}

/* Holds the beginning against HEAD: 1 all of it is there, 0 a part. */
static int
check_head(struct past *p, const struct mpq_buf *head, struct mpq_err *err)
{
    const char *want = head->data, *line;
    size_t n;

    while (want < head->data + head->len) {
        const size_t length = strcspn(want, "\n");
        if (!(line = next_line(p, &n))) { /* cut within the line that should come */
            const size_t left = (size_t)(p->end - p->at);
            if (left <= length && memcmp(p->at, want, left) == 0)
                return 0;
            p->line++;
            return refuse(p, p->at, left, want, err);
        }
        if (n != length || memcmp(line, want, n) != 0)
            return refuse(p, line, n, want, err);
        want += length + 1;
    }
    return 1;
}

/* Are these N bytes the four figures of a row? */
static int
are_figures(const char *text, size_t n)
{
    enum { FIGURES = 4, MOST = 40 };
    char word[MOST];
    double value;

    for (int i = 0; i < FIGURES; i++) {
        const char *tab = i < FIGURES - 1 ? memchr(text, '\t', n) : text + n;
        const size_t length = tab ? (size_t)(tab - text) : MOST;
        if (length >= MOST)
            return 0;
        memcpy(word, text, length);
        word[length] = '\0';
        if (strlen(word) != length || mpq_parse_double(word, &value) < 0)
            return 0;
        n -= i < FIGURES - 1 ? length + 1 : length;
        text = tab + 1;
    }
    return 1;
}

/* Holds a row against the one that should come. */
static int
check_row(struct each_job *e, const struct past *p, const struct mpq_buf *want,
          const char *line, size_t n, struct mpq_err *err)
{
    if (n <= want->len || memcmp(line, want->data, want->len) != 0)
        return refuse(p, line, n, want->data, err);
    if (!are_figures(line + want->len, n - want->len))
        return mpq_fail(err, MPQ_EDATA,
                        "%s:%zu: no figures where four should be: '%.*s'", ev.resume,
                        p->line, (int)(n - want->len < 80 ? n - want->len : 80),
                        line + want->len);
    e->n_known++;
    return 0;
}

/* Counts the rows that are there. 1: all of them. */
static int
check_rows(struct each_job *e, struct past *p, struct mpq_err *err)
{
    struct mpq_buf want = { 0 };
    int rc = -1;
    size_t n_rows, n;
    const struct mpq_probe_row *rows = mpq_probe_rows(e->probe, &n_rows);

    for (size_t u = 0; u < e->units.n; u++)
        for (size_t t = 0; t < e->n_types; t++) {
            struct mpq_type type;
            if (!each_type(e, &e->units.units[u], t, &type))
                continue;
            for (size_t r = 0; r < n_rows; r++) {
                const char *line = next_line(p, &n);
                want.len = 0;
                each_row_name(&want, &e->units.units[u], type, &rows[r]);
                if (want.failed) {
                    ev_no_memory(err);
                    goto out;
                }
                rc = line ? check_row(e, p, &want, line, n, err) : 0;
                if (rc < 0 || !line)
                    goto out;
            }
        }
    rc = 1;
out:
    mpq_buf_free(&want);
    return rc;
}

/* Behind the last row: is its ##end there? */
static int
check_end(struct each_job *e, struct past *p, const char *rows, struct mpq_err *err)
{
    struct mpq_buf want = { 0 };
    struct mpq_tsv_writer w;
    const char *end = p->at, *line;
    size_t n;

    if (!(line = next_line(p, &n)))
        return 0;
    mpq_tsv_go_on(&w, NULL, rows, (size_t)(end - rows));
    w.text = &want;
    int rc = mpq_tsv_end(&w, err);
    if (rc == 0 && (n + 1 != want.len || memcmp(line, want.data, n) != 0))
        rc = refuse(p, line, n, want.data, err);
    if (rc == 0 && p->at < p->end) {
        p->line++;
        rc = refuse(p, p->at, (size_t)(p->end - p->at), "", err);
    }
    e->is_finished = rc == 0;
    mpq_buf_free(&want);
    return rc;
}

/* Looks through what is there; *keep bytes of it can stay. */
static int
look(struct each_job *e, const struct mpq_map *map, const struct mpq_buf *head,
     uint64_t *keep, struct mpq_err *err)
{
    struct past p = { .at = (const char *)map->data };

    *keep = 0;
    if (map->size == 0)
        return 0;
    p.end = p.at + map->size;
    int rc = check_head(&p, head, err);
    if (rc <= 0)
        return rc;
    const char *rows = p.at;
    rc = check_rows(e, &p, err);
    if (rc > 0)
        rc = check_end(e, &p, rows, err);
    *keep = (uint64_t)(p.at - (const char *)map->data);
    return rc;
}

static int
go_on(struct each_job *e, const struct mpq_buf *head, struct mpq_err *err)
{
    struct mpq_map map = { 0 };
    struct mpq_out *out = NULL;
    struct stat st;
    uint64_t keep = 0;
    int rc = -1;

    if (stat(ev.resume, &st) == 0 && !S_ISREG(st.st_mode))
        return mpq_fail(err, MPQ_EUSAGE, "--resume: %s is no regular file", ev.resume);
    /* locked before it is looked at: what is there stays as it is seen */
    if (mpq_out_append(&out, ev.resume, err) < 0 || mpq_out_map(out, &map, err) < 0 ||
        look(e, &map, head, &keep, err) < 0)
        goto out;
    if (e->is_finished) {
        rc = 0;
        goto out;
    }
    if (mpq_out_cut(out, keep, err) < 0)
        goto out;
    e->j->out = out;
    out = NULL;
    const size_t rows = keep ? (size_t)keep - head->len : 0;
    mpq_tsv_go_on(&e->j->w, e->j->out, rows ? (const char *)map.data + head->len : NULL,
                  rows);
    if (keep == 0 && (mpq_out_write(e->j->out, head->data, head->len, err) < 0 ||
                      mpq_out_flush(e->j->out, err) < 0))
        goto out;
    if (e->n_known)
        cli_note("%s: %zu rows are there", ev.resume, e->n_known);
    rc = 0;
out:
    mpq_out_free(out);
    mpq_map_close(&map);
    return rc;
}

int
each_open_output(struct each_job *e, const struct mpq_buf *head, struct mpq_err *err)
{
    if (ev.resume)
        return go_on(e, head, err);
    if (cli_open_output(&e->j->out, 0, err) < 0)
        return -1;
    mpq_tsv_go_on(&e->j->w, e->j->out, NULL, 0);
    if (mpq_out_write(e->j->out, head->data, head->len, err) < 0)
        return -1;
    return mpq_out_flush(e->j->out, err);
}
