/* Models that a test makes in its folder, opened or refused. */
#ifndef MPQ_TESTS_MODELS_H
#define MPQ_TESTS_MODELS_H

#include "folder.h"
#include "suite.h"

#include "base/buf.h"
#include "fmt/st.h"
#include "model/source.h"

#include <string.h>

static inline void
put_text(const char *name, const char *text)
{
    put_file(name, text, strlen(text));
}

/* A safetensors file of zeros: names with shapes, "NAME ROWS COLS" (a vector: 0 rows).
 */
struct shape {
    const char *name;
    uint64_t rows, cols;
};

static inline void
put_st(const char *file, const struct shape *shapes, size_t n, const char *config)
{
    struct mpq_st_head *h;
    struct mpq_buf out;
    struct mpq_err err = { 0 };
    size_t data = 0;

    ck_assert_int_eq(mpq_st_head_new(&h, &err), 0);
    if (config)
        ck_assert_int_eq(mpq_st_put_meta(h, "config.json", config, &err), 0);
    for (size_t i = 0; i < n; i++) {
        const uint64_t dim[] = { shapes[i].cols, shapes[i].rows };
        unsigned n_dims = shapes[i].rows ? 2 : 1;
        ck_assert_int_eq(
            mpq_st_put_tensor(h, shapes[i].name, MPQ_TYPE(MPQ_F16), n_dims, dim, &err),
            0);
        data += (size_t)(shapes[i].cols * (shapes[i].rows ? shapes[i].rows : 1)) * 2;
    }
    ck_assert_int_eq(mpq_st_head_finish(h, 0, &out, &err), 0);
    while (data--)
        mpq_buf_add(&out, "", 1);
    put_file(file, out.data, out.len);
    mpq_buf_free(&out);
    mpq_st_head_free(h);
}

static inline struct mpq_source *
open_model(const char *path, const char *config_dir)
{
    struct mpq_source *s = NULL;
    struct mpq_err err = { 0 };

    ck_assert_msg(mpq_source_open(&s, path, config_dir, &err) == 0, "%s", err.text);
    return s;
}

/* The line with which PATH is refused; it must name NAME. */
static inline const char *
refusal(const char *path, const char *config_dir, const char *name)
{
    static struct mpq_err err;
    struct mpq_source *s;

    err = (struct mpq_err){ 0 };
    ck_assert_int_eq(mpq_source_open(&s, path, config_dir, &err), -1);
    ck_assert_ptr_null(s);
    ck_assert_ptr_null(strchr(err.text, '\n'));
    ck_assert_msg(strstr(err.text, name) != NULL, "'%s' lacks '%s'", err.text, name);
    return err.text;
}

#define ck_says(text, part)                                                            \
    ck_assert_msg(strstr(text, part), "'%s' lacks '%s'", text, part)

#endif
