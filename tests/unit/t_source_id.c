/* What tells models apart: ids and sums, and the hash they are made of. */
#include "models.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DIR "tests/data/formats/"

/* Opens "-" with the bytes of PATH in a pipe; SIZE must fit a pipe's 64 KiB. */
static struct mpq_source *
open_piped(const char *path, const char *config_dir)
{
    struct mpq_map map;
    struct mpq_err err = { 0 };
    int fd[2], saved = dup(0);

    ck_assert_int_eq(mpq_map_open(&map, path, &err), 0);
    ck_assert_int_eq(pipe(fd), 0);
    ck_assert_int_eq(write(fd[1], map.data, (size_t)map.size), (ssize_t)map.size);
    close(fd[1]);
    dup2(fd[0], 0);
    close(fd[0]);
    mpq_map_close(&map);
    struct mpq_source *s = open_model("-", config_dir);
    dup2(saved, 0);
    close(saved);
    return s;
}

static void
identify(const struct mpq_source *s, char id[MPQ_ID_SIZE])
{
    struct mpq_err err = { 0 };

    ck_assert_int_eq(mpq_source_id(s, id, &err), 0);
    ck_assert_uint_eq(strlen(id), 16);
}

static uint64_t
sum_of(const char *path, const char *config_dir)
{
    struct mpq_source *s = open_model(path, config_dir);
    struct mpq_err err = { 0 };
    uint64_t sum = 0;

    ck_assert_int_eq(mpq_source_sum(s, &sum, &err), 0);
    mpq_source_free(s);
    return sum;
}

START_TEST(a_sum_sees_the_last_byte_of_every_tensor)
{
    const char *const path = _i ? DIR "hf/model.safetensors" : DIR "llama.gguf";
    const uint64_t whole = sum_of(path, DIR "hf");
    struct mpq_source *s = open_model(path, DIR "hf");
    char want[MPQ_ID_SIZE], got[MPQ_ID_SIZE];
    struct mpq_err err = { 0 };
    struct mpq_map map;

    identify(s, want);
    ck_assert_int_eq(mpq_map_open(&map, path, &err), 0);
    unsigned char *bytes = malloc((size_t)map.size);
    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, map.data, (size_t)map.size);
    for (size_t i = 0; i < mpq_source_count(s); i++) {
        const struct mpq_weight *w = mpq_source_weight(s, i);
        unsigned char *last =
            bytes + (size_t)(w->tensor.offset + w->tensor.size_bytes - 1);
        *last ^= 1;
        put_file("changed", bytes, (size_t)map.size);
        *last ^= 1;
        ck_assert_msg(sum_of(in_tmp("changed"), DIR "hf") != whole, "%s", w->name);
        struct mpq_source *changed = open_model(in_tmp("changed"), DIR "hf");
        identify(changed, got);
        ck_assert_int_eq(!strcmp(got, want), w->rows > 1); /* that is of first rows */
        mpq_source_free(changed);
    }
    put_file("same", bytes, (size_t)map.size);
    ck_assert_uint_eq(sum_of(in_tmp("same"), DIR "hf"), whole);
    free(bytes);
    mpq_map_close(&map);
    mpq_source_free(s);
}
END_TEST

START_TEST(a_sum_sees_hyper_parameters)
{
    static const char key[] = "llama.context_length";
    struct mpq_err err = { 0 };
    struct mpq_map map;
    char command[256];

    ck_assert_int_eq(mpq_map_open(&map, DIR "llama.gguf", &err), 0);
    unsigned char *bytes = malloc((size_t)map.size), *at = bytes;
    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, map.data, (size_t)map.size);
    while (memcmp(at, key, sizeof key - 1) != 0)
        at++;
    at[sizeof key - 1 + 4]++; /* behind the type */
    put_file("changed", bytes, (size_t)map.size);
    ck_assert_uint_ne(sum_of(in_tmp("changed"), NULL), sum_of(DIR "llama.gguf", NULL));
    free(bytes);
    mpq_map_close(&map);
    snprintf(command, sizeof command, "sed s/64/65/ %shf/config.json > %s/config.json",
             DIR, tmp);
    ck_assert_int_eq(system(command), 0);
    ck_assert_uint_ne(sum_of(DIR "hf/model.safetensors", tmp),
                      sum_of(DIR "hf/model.safetensors", DIR "hf"));
    ck_assert_uint_eq(sum_of(DIR "hf-sharded", DIR "hf"), sum_of(DIR "hf", NULL));
}
END_TEST

START_TEST(file_pipe_gzip_split_and_shards_have_one_id)
{
    char want[MPQ_ID_SIZE], got[MPQ_ID_SIZE];
    struct mpq_source *s = open_model(DIR "llama.gguf", NULL);
    char command[256];

    identify(s, want);
    mpq_source_free(s);
    s = open_model(DIR "split-00001-of-00003.gguf", NULL);
    identify(s, got);
    ck_assert_str_eq(got, want);
    mpq_source_free(s);
    s = open_piped(DIR "llama.gguf", NULL);
    ck_assert_str_eq(mpq_source_name(s), "standard input");
    identify(s, got);
    ck_assert_str_eq(got, want);
    mpq_source_free(s);
    snprintf(command, sizeof command, "gzip -c %sllama.gguf > %s", DIR, in_tmp("m.gz"));
    ck_assert_int_eq(system(command), 0);
    s = open_model(in_tmp("m.gz"), NULL);
    identify(s, got);
    ck_assert_str_eq(got, want);
    mpq_source_free(s);
    s = open_piped(in_tmp("m.gz"), NULL);
    identify(s, got);
    ck_assert_str_eq(got, want);
    mpq_source_free(s);
    s = open_model(DIR "hf", NULL);
    identify(s, want);
    mpq_source_free(s);
    s = open_piped(DIR "hf/model.safetensors", DIR "hf");
    identify(s, got);
    ck_assert_str_eq(got, want);
    ck_assert_uint_eq(mpq_source_hparams(s)->n_head, 2);
    mpq_source_free(s);
    s = open_model(DIR "hf-sharded", NULL);
    identify(s, got);
    ck_assert_str_eq(got, want);
    mpq_source_free(s);
}
END_TEST

/* By PyPI's gguf and xxhash: sum over the tensors of xxh64(bytes of the first row,
 * seed = xxh64("blk.0.attn_q f16 16 24")), short names, GGUF's order of dimensions. */
#define LLAMA_ID "b331502a57a0811a"

START_TEST(the_id_is_of_names_types_shapes_and_first_rows)
{
    struct mpq_source *s = open_model(DIR "llama.gguf", NULL);
    const size_t norm = (size_t)mpq_source_find(s, "blk.0.attn_norm")->tensor.offset;
    struct mpq_map map;
    struct mpq_err err = { 0 };
    char id[MPQ_ID_SIZE];
    struct {
        size_t at; /* byte that is changed */
        int counts;
    } places[] = { { 24 + 8 + 20 + 4 + 8, 0 }, { 0, 1 }, { norm, 1 } };

    identify(s, id);
    ck_assert_str_eq(id, LLAMA_ID);
    ck_assert_int_eq(mpq_map_open(&map, DIR "llama.gguf", &err), 0);
    unsigned char *copy = malloc((size_t)map.size);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, map.data, (size_t)map.size);
    while (memcmp(map.data + places[1].at, "output_norm", 11))
        places[1].at++;
    for (size_t i = 0; i < 3; i++) { /* in a string of the metadata, a name, a row */
        struct mpq_source *other;
        copy[places[i].at] ^= 1;
        put_file("m.gguf", copy, (size_t)map.size);
        copy[places[i].at] ^= 1;
        other = open_model(in_tmp("m.gguf"), NULL);
        identify(other, id);
        ck_assert_int_eq(strcmp(id, LLAMA_ID) != 0, places[i].counts);
        mpq_source_free(other);
    }
    free(copy);
    mpq_map_close(&map);
    mpq_source_free(s);
}
END_TEST

/* By PyPI's xxhash 3.5: xxh64 of the first n of the bytes 37 i + 11. */
START_TEST(the_hash_is_xxh64)
{
    static const struct {
        size_t n;
        uint64_t plain, seeded;
    } want[] = {
        { 0, UINT64_C(0xef46db3751d8e999), UINT64_C(0x95584af7701f808d) },
        { 1, UINT64_C(0xf592c0c7639c4cb6), UINT64_C(0x6a363e819e44e985) },
        { 3, UINT64_C(0x22c08528601d4f27), UINT64_C(0x4cc2cda27cc1ff3b) },
        { 4, UINT64_C(0xfb1e5cf2f1ae4d95), UINT64_C(0x4ff0c85576f0f1ce) },
        { 7, UINT64_C(0x5613ac510496c04e), UINT64_C(0xbd1240e5a2d37bdf) },
        { 8, UINT64_C(0x57cb2b7521f3e21a), UINT64_C(0x0db84c04e52124ef) },
        { 31, UINT64_C(0xe4a0e629e519a4ae), UINT64_C(0x00b4051bdb059b1e) },
        { 32, UINT64_C(0xcc6b8aaada790b2d), UINT64_C(0x35b21e080e63e43f) },
        { 33, UINT64_C(0x35ec49850475a832), UINT64_C(0x88873d45c63b8712) },
        { 63, UINT64_C(0xbf9f0ba3cf95b28a), UINT64_C(0x10c08fc8f1798088) },
        { 64, UINT64_C(0x155ccce4bf32befc), UINT64_C(0x5b6b952d42a6c9f5) },
        { 100, UINT64_C(0x4826e367566ea023), UINT64_C(0xe7b0dc1a7e6b2f6b) },
        { 1000, UINT64_C(0x128da10cfbdc59d9), UINT64_C(0x58ec198c05b07ea0) },
    };
    unsigned char bytes[1000];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(37 * i + 11);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        ck_assert_uint_eq(mpq_hash64(bytes, want[i].n, 0), want[i].plain);
        ck_assert_uint_eq(mpq_hash64(bytes, want[i].n, 12345), want[i].seeded);
    }
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("source_id");
    TCase *tc = tcase_create("source_id");

    tcase_add_checked_fixture(tc, make_tmp, remove_tmp);
    tcase_add_loop_test(tc, a_sum_sees_the_last_byte_of_every_tensor, 0, 2);
    tcase_add_test(tc, a_sum_sees_hyper_parameters);
    tcase_add_test(tc, file_pipe_gzip_split_and_shards_have_one_id);
    tcase_add_test(tc, the_id_is_of_names_types_shapes_and_first_rows);
    tcase_add_test(tc, the_hash_is_xxh64);
    suite_add_tcase(s, tc);
    return s;
}
