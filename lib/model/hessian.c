#include "model/hessian.h"

#include "base/buf.h"
#include "base/hash.h"
#include "base/le.h"
#include "base/parse.h"
#include "fmt/st.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 1 << 20, LENGTH = 8, MAX_HEAD = 100000000, NAME_MAX_BYTES = 400 };
static const char tail[] = ".gram", tail_rows[] = ".rows";

/* A tensor of the stream, with what it is for. */
struct gram {
    const struct mpq_tensor *tensor;
    const struct mpq_weight *weight; /* that it is named after */
    int is_rows;                     /* weights of its rows: passed over */
};

struct mpq_hessian {
    const struct mpq_source *source;
    char *name; /* for messages */
    int fd;
    struct mpq_st *st;
    uint64_t sum, n_tokens; /* sum: of all that has been read */
    struct gram *grams;     /* [mpq_st_count(st)], in the order of the data */
    size_t next;            /* the first that has not been read */
    unsigned char *chunk;
    struct mpq_input *in;              /* [room] of the present layer */
    const struct mpq_weight **weights; /* [3 * room] theirs */
    size_t n, room;
};

/* --- the header ------------------------------------------------------------------ */

/* N bytes from the stream; *got fewer only at its end. */
static int
read_some(struct mpq_hessian *h, unsigned char *to, size_t n, size_t *got,
          struct mpq_err *err)
{
    *got = 0;
    while (*got < n) {
        const ssize_t k = read(h->fd, to + *got, n - *got);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return mpq_fail_errno(err, "%s", h->name);
        if (k == 0)
            break;
        *got += (size_t)k;
    }
    return 0;
}

/* Reads the header's bytes as they come: a wrong length does not take its memory. */
static int
read_head(struct mpq_hessian *h, struct mpq_err *err)
{
    struct mpq_buf text = { 0 };
    unsigned char length[LENGTH];
    size_t got;
    int rc = -1;

    if (read_some(h, length, LENGTH, &got, err) < 0)
        goto out;
    const uint64_t size = got == LENGTH ? mpq_le64(length) : 0;
    if (got < LENGTH || size > MAX_HEAD) {
        mpq_fail(err, MPQ_EDATA, "%s: is no stream of Hessians (safetensors)", h->name);
        goto out;
    }
    mpq_buf_add(&text, length, LENGTH);
    for (uint64_t left = size; left; left -= got) {
        if (read_some(h, h->chunk, left < CHUNK ? (size_t)left : CHUNK, &got, err) < 0)
            goto out;
        mpq_buf_add(&text, h->chunk, got);
        if (got == 0) {
            mpq_fail(err, MPQ_EDATA,
                     "%s: cut short: %" PRIu64 " of %" PRIu64 " bytes of header are"
                     " missing",
                     h->name, left, size);
            goto out;
        }
    }
    if (text.failed) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", h->name);
        goto out;
    }
    const struct mpq_map map = { (const unsigned char *)text.data, text.len };
    h->sum = mpq_hash64(text.data, text.len, 0);
    rc = mpq_st_open_head(&h->st, &map, h->name, err);
out:
    mpq_buf_free(&text);
    return rc;
}

static int
check_meta(struct mpq_hessian *h, struct mpq_err *err)
{
    const char *kind = mpq_st_meta(h->st, "format"),
               *id = mpq_st_meta(h->st, "model_id");
    const char *tokens = mpq_st_meta(h->st, "tokens");
    char own[MPQ_ID_SIZE];

    if (!kind || strcmp(kind, mpq_hessian_format) != 0)
        return mpq_fail(err, MPQ_EDATA, "%s: format is '%.40s', not '%s'", h->name,
                        kind ? kind : "", mpq_hessian_format);
    if (mpq_source_id(h->source, own, err) < 0)
        return -1;
    if (id && strcmp(id, own) != 0)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: was made for other weights (model_id %.16s, %s has %s)",
                        h->name, id, mpq_source_name(h->source), own);
    if (tokens && (mpq_parse_u64(tokens, &h->n_tokens) < 0 || !h->n_tokens))
        return mpq_fail(err, MPQ_EDATA, "%s: tokens is '%.40s'", h->name, tokens);
    return 0;
}

static int
check_gram(struct mpq_hessian *h, size_t i, struct mpq_err *err)
{
    const struct mpq_tensor *t = mpq_st_tensor(h->st, i);
    const size_t length = strlen(t->name), end = sizeof tail - 1;
    char name[NAME_MAX_BYTES];
    const int is_rows = length > end && !strcmp(t->name + length - end, tail_rows);

    if (length <= end || length >= sizeof name ||
        (!is_rows && strcmp(t->name + length - end, tail) != 0))
        return mpq_fail(err, MPQ_EDATA, "%s: tensor %.80s: is no NAME%s", h->name,
                        t->name, tail);
    snprintf(name, sizeof name, "%.*s", (int)(length - end), t->name);
    const struct mpq_weight *w = mpq_source_find(h->source, name);
    if (!w || !w->is_matrix || w->layer < 0)
        return mpq_fail(err, MPQ_EDATA, "%s: tensor %.80s: %s has no such matrix",
                        h->name, t->name, mpq_source_name(h->source));
    if (is_rows && (t->n_dims != 1 || t->dim[0] != w->rows))
        return mpq_fail(err, MPQ_EDATA,
                        "%s: tensor %.80s: has %" PRIu64 " values, the matrix %" PRIu64
                        " rows",
                        h->name, t->name, t->dim[0], w->rows);
    if (!is_rows && (t->n_dims != 2 || t->dim[0] != w->cols || t->dim[1] != w->cols))
        return mpq_fail(err, MPQ_EDATA,
                        "%s: tensor %.80s: is %" PRIu64 " x %" PRIu64
                        ", the matrix has rows of %" PRIu64,
                        h->name, t->name, mpq_tensor_rows(t), mpq_tensor_cols(t),
                        w->cols);
    if (t->type.id != MPQ_F32 && t->type.id != MPQ_F64)
        return mpq_fail(err, MPQ_EDATA, "%s: tensor %.80s: is neither F32 nor F64",
                        h->name, t->name);
    if (i && h->grams[i - 1].weight->layer > w->layer)
        return mpq_fail(err, MPQ_EDATA, "%s: tensor %.80s: comes after layer %d",
                        h->name, t->name, h->grams[i - 1].weight->layer);
    h->grams[i] = (struct gram){ t, w, is_rows };
    return 0;
}

int
mpq_hessian_open(struct mpq_hessian **out, const char *path, const struct mpq_source *s,
                 struct mpq_err *err)
{
    const int is_stdin = !strcmp(path, "-");
    struct mpq_hessian *h = calloc(1, sizeof *h);
    int rc = -1;

    *out = NULL;
    if (!h)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", path);
    h->fd = -1;
    h->source = s;
    h->n_tokens = 1;
    h->name = mpq_strdup(is_stdin ? "standard input" : path);
    h->chunk = malloc(CHUNK);
    if (!h->name || !h->chunk) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", path);
        goto out;
    }
    h->fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (h->fd < 0) {
        mpq_fail_errno(err, "%s", path);
        goto out;
    }
    if (read_head(h, err) < 0 || check_meta(h, err) < 0)
        goto out;
    if (!(h->grams = mpq_array(mpq_st_count(h->st), sizeof *h->grams))) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", h->name);
        goto out;
    }
    for (size_t i = 0; i < mpq_st_count(h->st); i++)
        if (check_gram(h, i, err) < 0)
            goto out;
    *out = h;
    h = NULL;
    rc = 0;
out:
    mpq_hessian_free(h);
    return rc;
}

static void
free_inputs(struct mpq_hessian *h)
{
    for (size_t i = 0; i < h->n; i++) {
        free(h->in[i].gram);
        free(h->in[i].diagonal);
    }
    h->n = 0;
}

void
mpq_hessian_free(struct mpq_hessian *h)
{
    if (!h)
        return;
    free_inputs(h);
    free(h->in);
    free(h->weights);
    free(h->grams);
    free(h->chunk);
    mpq_st_free(h->st);
    if (h->fd > STDIN_FILENO)
        close(h->fd);
    free(h->name);
    free(h);
}

int
mpq_hessian_check_unweighed(const struct mpq_hessian *h, const char *name,
                            struct mpq_err *err)
{
    const char *weights = mpq_st_meta(h->st, "weights");

    if (!weights || strcmp(weights, "fisher") != 0)
        return 0;
    return mpq_fail(err, MPQ_EDATA,
                    "%s: inputs weighed by gradients, which %s does not take", h->name,
                    name);
}

uint64_t
mpq_hessian_sum(const struct mpq_hessian *h)
{
    return h->sum;
}

/* --- the data -------------------------------------------------------------------- */

/* The next tensor, as doubles. GRAM NULL: only past it. */
static int
read_gram(struct mpq_hessian *h, const struct gram *g, double *gram,
          struct mpq_err *err)
{
    const size_t width = g->tensor->type.id == MPQ_F64 ? 8 : 4;
    uint64_t done = 0;
    size_t got;

    while (done < g->tensor->size_bytes) {
        const uint64_t left = g->tensor->size_bytes - done;
        if (read_some(h, h->chunk, left < CHUNK ? (size_t)left : CHUNK, &got, err) < 0)
            return -1;
        if (got == 0 || (got < CHUNK && got < left))
            return mpq_fail(
                err, MPQ_EDATA,
                "%s: cut short: tensor %s has %" PRIu64 " of %" PRIu64 " bytes",
                h->name, g->tensor->name, done + got, g->tensor->size_bytes);
        h->sum = mpq_hash64(h->chunk, got, h->sum);
        for (size_t i = 0; gram && i < got / width; i++) {
            double value;
            float half;
            const uint32_t bits = mpq_le32(h->chunk + i * width);
            memcpy(&half, &bits, sizeof half);
            value = (double)half;
            if (width == 8) {
                const uint64_t all = mpq_le64(h->chunk + i * width);
                memcpy(&value, &all, sizeof value);
            }
            if (!isfinite(value))
                return mpq_fail(err, MPQ_EDATA, "%s: tensor %s: is NaN or infinite",
                                h->name, g->tensor->name);
            gram[done / width + i] = value;
        }
        done += got;
    }
    return 0;
}

/* A matrix of the same layer that shares the input of OF, if it has no Gram matrix of
 * its own. */
static const struct mpq_weight *
sharer(const struct mpq_hessian *h, const struct mpq_weight *of, const char *name)
{
    char text[NAME_MAX_BYTES];

    snprintf(text, sizeof text, "blk.%d.%s%s", of->layer, name, tail);
    if (mpq_st_find(h->st, text))
        return NULL;
    text[strlen(text) - (sizeof tail - 1)] = '\0';
    const struct mpq_weight *w = mpq_source_find(h->source, text);
    return w && w->cols == of->cols ? w : NULL;
}

static int
add_input(struct mpq_hessian *h, const struct gram *g, struct mpq_err *err)
{
    struct mpq_input *in = &h->in[h->n];
    const struct mpq_weight **weights = h->weights + 3 * h->n;
    const struct mpq_weight *w = g->weight;
    const char *base = strchr(w->name + 4, '.'), *others[2] = { NULL, NULL };

    *in = (struct mpq_input){ .weights = weights,
                              .cols = (size_t)w->cols,
                              .n_tokens = h->n_tokens };
    weights[in->n_weights++] = w;
    if (base && !strcmp(base, ".attn_q")) {
        others[0] = "attn_k";
        others[1] = "attn_v";
    } else if (base && !strcmp(base, ".ffn_gate")) {
        others[0] = "ffn_up";
    }
    for (int i = 0; i < 2 && others[i]; i++)
        if ((weights[in->n_weights] = sharer(h, w, others[i])))
            in->n_weights++;
    in->gram = mpq_array(in->cols, in->cols * sizeof *in->gram);
    in->diagonal = mpq_array(in->cols, sizeof *in->diagonal);
    h->n++;
    if (!in->gram || !in->diagonal)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory for tensor %s", h->name,
                        g->tensor->name);
    if (read_gram(h, g, in->gram, err) < 0)
        return -1;
    for (size_t c = 0; c < in->cols; c++) {
        in->diagonal[c] = in->gram[c * in->cols + c];
        if (in->diagonal[c] < 0) /* of squares, so no sum over any inputs */
            return mpq_fail(err, MPQ_EDATA,
                            "%s: tensor %s: its diagonal has %g at column %zu, a sum "
                            "of squares is not negative",
                            h->name, g->tensor->name, in->diagonal[c], c);
    }
    return 0;
}

int
mpq_hessian_layer(struct mpq_hessian *h, size_t layer, const struct mpq_input **in,
                  size_t *n, struct mpq_err *err)
{
    const size_t count = mpq_st_count(h->st);
    size_t end = h->next;

    free_inputs(h);
    while (end < count && (size_t)h->grams[end].weight->layer <= layer)
        end++;
    if (end - h->next > h->room) {
        free(h->in);
        free(h->weights);
        h->room = end - h->next;
        h->in = mpq_array(h->room, sizeof *h->in);
        h->weights = mpq_array(h->room, 3 * sizeof *h->weights);
        if (!h->in || !h->weights) {
            h->room = 0;
            return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", h->name);
        }
    }
    for (; h->next < end; h->next++) {
        const struct gram *g = &h->grams[h->next];
        const int skip = g->weight->layer < (int)layer || g->is_rows;
        if ((skip ? read_gram(h, g, NULL, err) : add_input(h, g, err)) < 0)
            return -1;
    }
    *in = h->in;
    *n = h->n;
    return 0;
}

int
mpq_hessian_end(struct mpq_hessian *h, struct mpq_err *err)
{
    unsigned char byte;
    size_t got;

    for (; h->next < mpq_st_count(h->st); h->next++)
        if (read_gram(h, &h->grams[h->next], NULL, err) < 0)
            return -1;
    if (read_some(h, &byte, 1, &got, err) < 0)
        return -1;
    return got ? mpq_fail(err, MPQ_EDATA, "%s: goes on behind its last tensor", h->name)
               : 0;
}
