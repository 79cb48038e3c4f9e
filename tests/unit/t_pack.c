#include "suite.h"

#include "model/native.h"
#include "model/pack.h"
#include "model/packcheck.h"
#include "small.h"

#include <math.h>

static struct mpq_source *
open_model(const char *path)
{
    struct mpq_source *s = NULL;
    struct mpq_err err = { 0 };
    ck_assert_msg(mpq_source_open(&s, path, NULL, &err) == 0, "%s", err.text);
    return s;
}

/* Packs S to PATH, every matrix as NAME (NULL: as it is). */
static int
pack(const struct mpq_source *s, const char *path, enum mpq_packform form,
     const char *name, unsigned threads, struct mpq_err *err)
{
    const struct mpq_pack_options options = { .effort = MPQ_EFFORT_FAST,
                                              .threads = threads };
    struct mpq_type types[32], type;
    struct mpq_packfile f = { 0 };
    struct mpq_out *out = NULL;
    int rc = -1;

    for (size_t i = 0; i < mpq_source_count(s); i++) {
        const struct mpq_weight *w = mpq_source_weight(s, i);
        types[i] = w->tensor.type;
        if (w->is_matrix && name) {
            ck_assert_int_eq(mpq_type_parse(name, &type), 0);
            types[i] = type;
        }
    }
    if (mpq_packfile_plan(&f, s, form, types, "who and how", err) == 0 &&
        mpq_out_open(&out, path, err) == 0 &&
        mpq_pack_write(&f, s, out, &options, err) == 0 &&
        mpq_packcheck_written(&f, out, err) == 0) {
        ck_assert_uint_eq(mpq_out_size(out), f.size_bytes);
        rc = mpq_out_close(out, err);
        out = NULL;
    }
    mpq_out_free(out);
    mpq_packfile_free(&f);
    return rc;
}

/* As the codec alone would do it, row by row: what packing must come to. */
static void
check_rows(const struct mpq_source *from, const struct mpq_source *to, const char *name)
{
    static float x[301 * 512], y[301 * 512], z[512];
    static unsigned char packed[8 * 512];
    struct mpq_type type;

    ck_assert_int_eq(mpq_type_parse(name, &type), 0);
    for (size_t i = 0; i < mpq_source_count(from); i++) {
        const struct mpq_weight *a = mpq_source_weight(from, i);
        const struct mpq_weight *b = mpq_source_find(to, a->name);
        ck_assert_ptr_nonnull(b);
        ck_assert_str_eq(a->file_name, b->file_name);
        ck_assert_int_eq(mpq_source_read_rows(from, a, 0, a->rows, x, NULL), 0);
        ck_assert_int_eq(mpq_source_read_rows(to, b, 0, b->rows, y, NULL), 0);
        if (a->is_matrix)
            ck_assert_int_eq(mpq_type_eq(b->tensor.type, type), 1);
        for (uint64_t r = 0; r < a->rows; r++) {
            float *row = x + r * a->cols;
            mpq_encode_row(a->is_matrix ? type : a->tensor.type, row, NULL, packed,
                           a->cols, MPQ_EFFORT_FAST);
            mpq_decode_row(a->is_matrix ? type : a->tensor.type, packed, z, a->cols);
            ck_assert_mem_eq(y + r * a->cols, z, a->cols * sizeof *z);
        }
    }
}

static const char *const gguf_types[] = { "f32",  "f16",  "bf16", "q8_0",   "q6_k",
                                          "q5_k", "q5_1", "q5_0", "q4_k",   "q4_1",
                                          "q4_0", "q3_k", "q2_k", "iq4_nl", "iq4_xs" };
enum { N_GGUF = sizeof gguf_types / sizeof *gguf_types };

START_TEST(gguf_holds_each_type_as_its_codec_makes_it)
{
    const char *in = small_path("in.gguf"), *out = small_path("out.gguf");
    struct mpq_err err = { 0 };

    small_write(in, 512, -1);
    struct mpq_source *s = open_model(in);
    ck_assert_msg(pack(s, out, MPQ_PACK_GGUF, gguf_types[_i], 2, &err) == 0, "%s",
                  err.text);
    struct mpq_source *t = open_model(out);
    check_rows(s, t, gguf_types[_i]);
    mpq_source_free(t);
    mpq_source_free(s);
    unlink(in);
    unlink(out);
}
END_TEST

static const char *const native_types[] = { "int1",     "int2g64", "int3g128", "int4",
                                            "int5g7s",  "int6g33", "int7s",    "int8g1",
                                            "int1g32s", "q4_0",    "q6_k",     "f16" };

/* Rows of 256: groups of 7 and 33 leave a ragged last one. */
START_TEST(native_container_is_a_model_again)
{
    const char *in = small_path("in.gguf"), *out = small_path("out.st");
    const char *again = small_path("again.st");
    const struct mpq_gguf_kv *kv;
    struct mpq_err err = { 0 };
    struct mpq_map a, b;

    small_write(in, 256, -1);
    struct mpq_source *s = open_model(in);
    ck_assert_msg(pack(s, out, MPQ_PACK_NATIVE, native_types[_i], 2, &err) == 0, "%s",
                  err.text);
    struct mpq_source *t = open_model(out);
    check_rows(s, t, native_types[_i]);
    ck_assert_str_eq(mpq_source_hparams(t)->arch, "llama");
    ck_assert_str_eq(mpq_source_hparams(t)->name, "small one");
    ck_assert_uint_eq(mpq_source_hparams(t)->n_layer, 2);
    kv = mpq_gguf_kv_find(mpq_source_keys(t), "small.u64");
    ck_assert_ptr_nonnull(kv);
    ck_assert_uint_eq(kv->data[0], 7);
    /* packed once more as it is: types and bytes of the tensors stay */
    ck_assert_msg(pack(t, again, MPQ_PACK_NATIVE, NULL, 1, &err) == 0, "%s", err.text);
    struct mpq_source *u = open_model(again);
    check_rows(s, u, native_types[_i]);
    mpq_source_free(u);
    ck_assert_int_eq(mpq_map_open(&a, out, NULL), 0);
    ck_assert_int_eq(mpq_map_open(&b, again, NULL), 0);
    ck_assert_uint_eq(a.size, b.size);
    mpq_map_close(&a);
    mpq_map_close(&b);
    mpq_source_free(t);
    mpq_source_free(s);
    unlink(in);
    unlink(out);
    unlink(again);
}
END_TEST

/* The values of a fake file are those of the packed one, rounded to the stored type. */
START_TEST(fake_file_has_the_values_of_the_packed_one)
{
    const char *in = small_path("in.gguf"), *real = small_path("real.gguf");
    const char *fake = small_path("fake.st");
    static float x[301 * 256], y[301 * 256], z[256];
    static unsigned char stored[4 * 256];
    struct mpq_err err = { 0 };

    small_write(in, 256, -1);
    struct mpq_source *s = open_model(in);
    ck_assert_int_eq(pack(s, real, MPQ_PACK_GGUF, "q4_0", 1, &err), 0);
    ck_assert_int_eq(pack(s, fake, MPQ_PACK_FAKE, "q4_0", 2, &err), 0);
    struct mpq_source *a = open_model(real), *b = open_model(fake);
    for (size_t i = 0; i < mpq_source_count(s); i++) {
        const struct mpq_weight *w = mpq_source_weight(s, i);
        const struct mpq_weight *v = mpq_source_find(a, w->name);
        const struct mpq_weight *f = mpq_source_find(b, w->name);
        ck_assert_int_eq(mpq_type_eq(f->tensor.type, w->tensor.type), 1);
        ck_assert_str_eq(f->file_name, w->file_name);
        ck_assert_int_eq(mpq_source_read_rows(a, v, 0, w->rows, x, NULL), 0);
        ck_assert_int_eq(mpq_source_read_rows(b, f, 0, w->rows, y, NULL), 0);
        for (uint64_t r = 0; r < w->rows; r++) {
            mpq_encode_row(w->tensor.type, x + r * w->cols, NULL, stored, w->cols,
                           MPQ_EFFORT_FAST);
            mpq_decode_row(w->tensor.type, stored, z, w->cols);
            ck_assert_mem_eq(y + r * w->cols, z, w->cols * sizeof *z);
        }
    }
    /* what was quantized has no type of its own any more: f32 holds it exactly */
    ck_assert_int_eq(pack(a, fake, MPQ_PACK_FAKE, NULL, 1, &err), 0);
    mpq_source_free(b);
    b = open_model(fake);
    const struct mpq_weight *v = mpq_source_find(a, "blk.1.attn_q");
    const struct mpq_weight *f = mpq_source_find(b, "blk.1.attn_q");
    ck_assert_int_eq(f->tensor.type.id, MPQ_F32);
    ck_assert_int_eq(mpq_source_read_rows(a, v, 0, v->rows, x, NULL), 0);
    ck_assert_int_eq(mpq_source_read_rows(b, f, 0, v->rows, y, NULL), 0);
    ck_assert_mem_eq(x, y, v->rows * v->cols * sizeof *x);
    mpq_source_free(a);
    mpq_source_free(b);
    mpq_source_free(s);
    unlink(in);
    unlink(real);
    unlink(fake);
}
END_TEST

START_TEST(what_keeps_its_type_keeps_its_bytes)
{
    const char *in = small_path("in.gguf"), *out = small_path("out.gguf");
    struct mpq_err err = { 0 };

    small_write(in, 32, -1);
    struct mpq_source *s = open_model(in);
    ck_assert_int_eq(pack(s, out, MPQ_PACK_GGUF, NULL, 1, &err), 0);
    struct mpq_source *t = open_model(out);
    const struct mpq_gguf *a = mpq_source_gguf(s), *b = mpq_source_gguf(t);
    ck_assert_uint_eq(mpq_gguf_count(a), mpq_gguf_count(b));
    for (size_t i = 0; i < mpq_gguf_count(a); i++) {
        const struct mpq_tensor *x = mpq_gguf_tensor(a, i), *y = mpq_gguf_tensor(b, i);
        ck_assert_str_eq(x->name, y->name);
        ck_assert_uint_eq(x->size_bytes, y->size_bytes);
        ck_assert_mem_eq(x->data, y->data, x->size_bytes);
    }
    /* every key in its place, four set or added */
    static const char *const added[] = { "general.quantization_version", "mpq.plan",
                                         "mpq.provenance" };
    size_t n = mpq_gguf_kv_count(a);
    ck_assert_uint_eq(mpq_gguf_kv_count(b), n + 3);
    for (size_t i = 0; i < n + 3; i++)
        ck_assert_str_eq(mpq_gguf_kv_at(b, i)->key,
                         i < n ? mpq_gguf_kv_at(a, i)->key : added[i - n]);
    const struct mpq_gguf_kv *plan = mpq_gguf_kv_find(b, "mpq.plan");
    ck_assert_int_eq(plan->item_type, MPQ_GGUF_U8);
    ck_assert_uint_eq(plan->count, SMALL_TENSORS);
    for (size_t i = 0; i < SMALL_TENSORS; i++)
        ck_assert_uint_eq(plan->data[i], small_tensors[i].type);
    const struct mpq_gguf_kv *who = mpq_gguf_kv_find(b, "mpq.provenance");
    ck_assert_uint_eq(who->count, 1024);
    ck_assert_mem_eq(who->data, "who and how ", 12);
    uint64_t file_type = 0;
    ck_assert_int_eq(mpq_gguf_get_u64(b, "general.file_type", &file_type), 1);
    ck_assert_uint_eq(file_type,
                      32); /* mostly bf16: attn_q of layer 1 is the largest */
    mpq_source_free(t);
    mpq_source_free(s);
    unlink(in);
    unlink(out);
}
END_TEST

static int
same_files(const char *a, const char *b)
{
    struct mpq_map x, y;

    ck_assert_int_eq(mpq_map_open(&x, a, NULL), 0);
    ck_assert_int_eq(mpq_map_open(&y, b, NULL), 0);
    int same = x.size == y.size && memcmp(x.data, y.data, x.size) == 0;
    mpq_map_close(&x);
    mpq_map_close(&y);
    return same;
}

static const struct {
    enum mpq_packform form;
    const char *type;
} ways[] = {
    { MPQ_PACK_GGUF, "q8_0" },
    { MPQ_PACK_NATIVE, "int3g50" },
    { MPQ_PACK_FAKE, "q4_k" },
};

START_TEST(threads_do_not_change_a_byte)
{
    const char *in = small_path("in.gguf"), *one = small_path("one");
    const char *many = small_path("many");
    struct mpq_err err = { 0 };

    small_write(in, 512, -1); /* 301 rows of 512 are three tiles */
    struct mpq_source *s = open_model(in);
    ck_assert_int_eq(pack(s, one, ways[_i].form, ways[_i].type, 1, &err), 0);
    ck_assert_int_eq(pack(s, many, ways[_i].form, ways[_i].type, 7, &err), 0);
    ck_assert_int_eq(same_files(one, many), 1);
    mpq_source_free(s);
    unlink(in);
    unlink(one);
    unlink(many);
}
END_TEST

static const struct {
    uint64_t cols;
    enum mpq_packform form;
    const char *type, *says;
    int code;
} refused[] = {
    { 64, MPQ_PACK_GGUF, "q4_k",
      "token_embd: type q4_k takes rows of a multiple of 256", MPQ_EDATA },
    { 48, MPQ_PACK_NATIVE, "q8_0",
      "type q8_0 takes rows of a multiple of 32, these have 48", MPQ_EDATA },
    { 64, MPQ_PACK_GGUF, "int3g128", "type int3g128: a GGUF file cannot hold it",
      MPQ_EDATA },
    { 256, MPQ_PACK_GGUF, "iq2_xxs", "mpq-pack does not write iq2_xxs", MPQ_EDATA },
    { 256, MPQ_PACK_NATIVE, "q8_k", "mpq-pack does not write q8_k", MPQ_EDATA },
};

START_TEST(types_that_cannot_be_are_named)
{
    const char *in = small_path("in.gguf"), *out = small_path("out");
    struct mpq_err err = { 0 };

    small_write(in, refused[_i].cols, -1);
    struct mpq_source *s = open_model(in);
    ck_assert_int_eq(pack(s, out, refused[_i].form, refused[_i].type, 1, &err), -1);
    ck_assert_int_eq(err.code, refused[_i].code);
    ck_assert_msg(strstr(err.text, refused[_i].says) != NULL, "%s", err.text);
    ck_assert_int_eq(access(out, F_OK), -1);
    mpq_source_free(s);
    unlink(in);
}
END_TEST

/* 64 * (5 + 1 + 7) + 70: row 2, column 7 of blk.0.ffn_down, the fourth tensor. */
START_TEST(nan_is_named_and_leaves_no_file)
{
    const char *in = small_path("in.gguf"), *out = small_path("out.gguf");
    struct mpq_err err = { 0 };

    small_write(in, 64, 64 * (5 + 1 + 7) + 70);
    struct mpq_source *s = open_model(in);
    ck_assert_int_eq(pack(s, out, MPQ_PACK_GGUF, "q8_0", 3, &err), -1);
    ck_assert_msg(strstr(err.text, "blk.0.ffn_down") != NULL &&
                      strstr(err.text, "row 2, column 7") != NULL,
                  "%s", err.text);
    ck_assert_int_eq(access(out, F_OK), -1);
    mpq_source_free(s);
    unlink(in);
}
END_TEST

/* Seven parts of one row each; in each all columns but one have no importance: that one
 * alone decides the scale, so it comes out exactly. */
START_TEST(importance_weighs_columns_and_parts)
{
    const char *in = small_path("in.gguf"), *out = small_path("out.st");
    static float values[7][32], x[7 * 32], y[7 * 32];
    struct mpq_importance importance[SMALL_TENSORS] = { 0 };
    struct mpq_pack_options options = { .threads = 2, .importance = importance };
    struct mpq_type types[SMALL_TENSORS], int1s;
    struct mpq_packfile f;
    struct mpq_out *o;
    struct mpq_err err = { 0 };
    size_t at = SIZE_MAX;

    small_write(in, 32, -1);
    struct mpq_source *s = open_model(in);
    ck_assert_int_eq(mpq_type_parse("int1s", &int1s), 0);
    for (size_t i = 0; i < SMALL_TENSORS; i++) {
        const struct mpq_weight *w = mpq_source_weight(s, i);
        types[i] = w->is_matrix ? int1s : w->tensor.type;
    }
    ck_assert_int_eq(mpq_packfile_plan(&f, s, MPQ_PACK_NATIVE, types, "", &err), 0);
    for (size_t i = 0; i < f.n; i++)
        if (strcmp(f.pieces[i].weight->name, "blk.0.attn_q") == 0)
            at = i;
    ck_assert_uint_ne(at, SIZE_MAX);
    for (int r = 0; r < 7; r++)
        values[r][r % 2 ? 20 : 3] = 1;
    importance[at] = (struct mpq_importance){ &values[0][0], 7 };
    ck_assert_int_eq(mpq_out_open(&o, out, &err), 0);
    ck_assert_int_eq(mpq_pack_write(&f, s, o, &options, &err), 0);
    ck_assert_int_eq(mpq_out_close(o, &err), 0);
    struct mpq_source *t = open_model(out);
    const struct mpq_weight *a = mpq_source_find(s, "blk.0.attn_q");
    const struct mpq_weight *b = mpq_source_find(t, "blk.0.attn_q");
    ck_assert_int_eq(mpq_source_read_rows(s, a, 0, 7, x, NULL), 0);
    ck_assert_int_eq(mpq_source_read_rows(t, b, 0, 7, y, NULL), 0);
    for (int r = 0; r < 7; r++) {
        int c = r * 32 + (r % 2 ? 20 : 3);
        ck_assert_float_eq_tol(y[c], x[c], 1e-3f * fabsf(x[c])); /* the scale is f16 */
    }
    mpq_packfile_free(&f);
    mpq_source_free(t);
    mpq_source_free(s);
    unlink(in);
    unlink(out);
}
END_TEST

/* A native container of one matrix "m.weight" [2, 8] as int4 (a byte of codes for two
 * columns, a scale, a zero), with one thing changed. */
static const struct {
    const char *container, *type, *codes, *says;
    int codes_dtype;
    uint64_t code_cols, groups, rows;
} broken[] = {
    { "native 2", "int4 2 8", "m.weight.codes", "container 'native 2'", MPQ_U8, 4, 1,
      2 },
    { "native 1", "int4 2 9", "m.weight.codes", "m.weight.codes: is not U8 [2, 5]",
      MPQ_U8, 4, 1, 2 },
    { "native 1", "int4 2 8", "m.weight.codez", "m.weight: has a type but no data",
      MPQ_U8, 4, 1, 2 },
    { "native 1", "int4 2 8", "m.weight.codes", "is not U8", MPQ_F16, 4, 1, 2 },
    { "native 1", "int4g4 2 8", "m.weight.codes", "m.weight.scales: is not F16 [2, 2]",
      MPQ_U8, 4, 1, 2 },
    { "native 1", "int4 2 8", "m.weight.codes", "m.weight.codes: is not U8 [2, 4]",
      MPQ_U8, 4, 1, 3 },
    { "native 1", "int9 2 8", "m.weight.codes", "m.weight: its mpq.type is no type",
      MPQ_U8, 4, 1, 2 },
    { "native 1", "int4 2 0", "m.weight.codes", "m.weight: its mpq.type is no type",
      MPQ_U8, 4, 1, 2 },
    { "native 1", "q4_0 2 8", "m.weight", "no type with a shape that fits", MPQ_U8, 4,
      1, 2 },
    { "native 1", "q4_0 2 32", "m.weight", "m.weight: is not U8 [2, 18]", MPQ_U8, 4, 1,
      2 },
    { "native 1", "q4_0 4294967296 4294967296", "m.weight",
      "no type with a shape that fits", MPQ_U8, 4, 1, 2 },
};

START_TEST(broken_native_containers_are_refused)
{
    const uint64_t codes[2] = { broken[_i].code_cols, broken[_i].rows };
    const uint64_t groups[2] = { broken[_i].groups, 2 };
    const char *path = small_path("broken.st");
    struct mpq_source *s = NULL;
    struct mpq_st_head *h;
    struct mpq_buf head;
    struct mpq_out *out;
    struct mpq_err err = { 0 };

    ck_assert_int_eq(mpq_st_head_new(&h, NULL), 0);
    ck_assert_int_eq(mpq_st_put_meta(h, "mpq.container", broken[_i].container, NULL),
                     0);
    ck_assert_int_eq(mpq_st_put_meta(h, "mpq.type.m.weight", broken[_i].type, NULL), 0);
    ck_assert_int_eq(mpq_st_put_tensor(h, broken[_i].codes,
                                       MPQ_TYPE(broken[_i].codes_dtype), 2, codes,
                                       NULL),
                     0);
    ck_assert_int_eq(
        mpq_st_put_tensor(h, "m.weight.scales", MPQ_TYPE(MPQ_F16), 2, groups, NULL), 0);
    ck_assert_int_eq(
        mpq_st_put_tensor(h, "m.weight.zeros", MPQ_TYPE(MPQ_F16), 2, groups, NULL), 0);
    ck_assert_int_eq(mpq_st_head_finish(h, 0, &head, NULL), 0);
    ck_assert_int_eq(mpq_out_open(&out, path, NULL), 0);
    ck_assert_int_eq(mpq_out_write(out, head.data, head.len, NULL), 0);
    uint64_t bytes = codes[0] * codes[1] * (broken[_i].codes_dtype == MPQ_U8 ? 1 : 2) +
                     2 * groups[0] * groups[1] * 2;
    ck_assert_int_eq(mpq_out_zeros(out, bytes, NULL), 0);
    ck_assert_int_eq(mpq_out_close(out, NULL), 0);
    ck_assert_int_eq(mpq_source_open(&s, path, NULL, &err), -1);
    ck_assert_int_eq(err.code, MPQ_EDATA);
    ck_assert_msg(strstr(err.text, broken[_i].says) != NULL, "%s", err.text);
    mpq_buf_free(&head);
    mpq_st_head_free(h);
    unlink(path);
}
END_TEST

/* What was written is read back: a byte changed on the way is noticed. */
START_TEST(a_wrong_type_in_the_file_is_noticed)
{
    const char *in = small_path("in.gguf"), *path = small_path("out.gguf");
    struct mpq_type types[SMALL_TENSORS];
    struct mpq_packfile f;
    struct mpq_out *out;
    struct mpq_err err = { 0 };

    small_write(in, 32, -1);
    struct mpq_source *s = open_model(in);
    for (size_t i = 0; i < SMALL_TENSORS; i++)
        types[i] = mpq_source_weight(s, i)->tensor.type;
    ck_assert_int_eq(mpq_packfile_plan(&f, s, MPQ_PACK_GGUF, types, "", &err), 0);
    /* the type of the first tensor: behind name, number of dimensions and dimensions */
    char *name = NULL;
    for (size_t i = 0; !name && i + 17 < f.head.len; i++)
        if (memcmp(f.head.data + i, "token_embd.weight", 17) == 0)
            name = f.head.data + i;
    ck_assert_ptr_nonnull(name);
    name[17 + 4 + 16] = MPQ_I32; /* as wide as f32: nothing else is out of place */
    ck_assert_int_eq(mpq_out_open(&out, path, &err), 0);
    ck_assert_int_eq(mpq_out_write(out, f.head.data, f.head.len, &err), 0);
    ck_assert_int_eq(mpq_out_zeros(out, f.size_bytes - f.head.len, &err), 0);
    ck_assert_int_eq(mpq_packcheck_written(&f, out, &err), -1);
    ck_assert_msg(strstr(err.text, "token_embd.weight: type i32 instead of f32") !=
                      NULL,
                  "%s", err.text);
    mpq_out_free(out);
    mpq_packfile_free(&f);
    mpq_source_free(s);
    unlink(in);
}
END_TEST

START_TEST(provenance_is_never_cut_inside_a_character)
{
    const char *in = small_path("in.gguf");
    char text[1030];
    struct mpq_type types[SMALL_TENSORS];
    struct mpq_packfile f;

    small_write(in, 32, -1);
    struct mpq_source *s = open_model(in);
    for (size_t i = 0; i < SMALL_TENSORS; i++)
        types[i] = mpq_source_weight(s, i)->tensor.type;
    memset(text, 'x', sizeof text);
    memcpy(text + 1022, "\xe2\x82\xac", 4); /* the euro sign ends at byte 1,025 */
    ck_assert_int_eq(mpq_packfile_plan(&f, s, MPQ_PACK_GGUF, types, text, NULL), 0);
    const struct mpq_map map = { (const unsigned char *)f.head.data, f.head.len };
    const char *x = NULL;
    for (size_t i = 0; !x && i + 4 < map.size; i++)
        if (memcmp(map.data + i, "xxxx", 4) == 0)
            x = f.head.data + i;
    ck_assert_ptr_nonnull(x);
    ck_assert_int_eq(x[1021], 'x');
    ck_assert_mem_eq(x + 1022, "  ", 2);
    mpq_packfile_free(&f);
    mpq_source_free(s);
    unlink(in);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("pack");
    TCase *tc = tcase_create("pack");

    tcase_add_loop_test(tc, gguf_holds_each_type_as_its_codec_makes_it, 0, N_GGUF);
    tcase_add_loop_test(tc, native_container_is_a_model_again, 0,
                        sizeof native_types / sizeof *native_types);
    tcase_add_test(tc, fake_file_has_the_values_of_the_packed_one);
    tcase_add_test(tc, what_keeps_its_type_keeps_its_bytes);
    tcase_add_loop_test(tc, threads_do_not_change_a_byte, 0,
                        sizeof ways / sizeof *ways);
    tcase_add_loop_test(tc, types_that_cannot_be_are_named, 0,
                        sizeof refused / sizeof *refused);
    tcase_add_test(tc, nan_is_named_and_leaves_no_file);
    tcase_add_test(tc, importance_weighs_columns_and_parts);
    tcase_add_loop_test(tc, broken_native_containers_are_refused, 0,
                        sizeof broken / sizeof *broken);
    tcase_add_test(tc, a_wrong_type_in_the_file_is_noticed);
    tcase_add_test(tc, provenance_is_never_cut_inside_a_character);
    suite_add_tcase(s, tc);
    return s;
}
