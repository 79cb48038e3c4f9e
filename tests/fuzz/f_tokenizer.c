/* A vocabulary, as GGUF metadata or (where the input begins with a brace) as a
 * tokenizer.json in a safetensors header: what is accepted tokenizes text, the input's
 * own end among it, gives ids below the count, and decodes them. */
#include "file.h"
#include "replay.h"

#include "fmt/st.h"
#include "model/source.h"
#include "model/tokenizer.h"

#include <string.h>

static const char *const texts[] = {
    "",
    "The other day, it's 1234567 o'clock!\n\n  x\t\xe4\xbb\x8a\xe6\x97\xa5 <s><|endoftext|>",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa                              \n\n\n\n",
};

static void
try_text(const struct mpq_tokenizer *t, const char *text, size_t n, unsigned flags)
{
    struct mpq_tokens ids = { 0 };
    struct mpq_buf back = { 0 };
    struct mpq_err err = { 0 };
    size_t size;

    if (mpq_tokenizer_encode(t, text, n, flags, "text", &ids, &err) < 0 &&
        (!err.code || strncmp(err.text, "text: ", 6)))
        abort();
    for (size_t i = 0; i < ids.n; i++) {
        if (ids.ids[i] >= mpq_tokenizer_count(t))
            abort();
        mpq_tokenizer_piece(t, ids.ids[i], &size);
        mpq_tokenizer_is_eog(t, ids.ids[i]);
    }
    mpq_tokenizer_decode(t, ids.ids, ids.n, &back);
    mpq_buf_free(&back);
    mpq_tokens_free(&ids);
}

/* A safetensors file of one small tensor, with JSON[n] as its tokenizer.json. */
static void
wrap(struct mpq_buf *out, const uint8_t *json, size_t n)
{
    static const char config[] = "{\"model_type\":\"llama\",\"eos_token_id\":[1,2]}";
    const uint64_t dim[] = { 4, 4 };
    struct mpq_st_head *h;
    char *text = mpq_strndup((const char *)json, n);

    if (!text || mpq_st_head_new(&h, NULL) < 0 ||
        mpq_st_put_meta(h, "config.json", config, NULL) < 0 ||
        mpq_st_put_meta(h, "tokenizer.json", text, NULL) < 0 ||
        mpq_st_put_tensor(h, "model.embed_tokens.weight", MPQ_TYPE(MPQ_F16), 2, dim,
                          NULL) < 0 ||
        mpq_st_head_finish(h, 0, out, NULL) < 0)
        abort();
    mpq_buf_add(out, (const char[32]){ 0 }, 32);
    mpq_st_head_free(h);
    free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mpq_buf b = { 0 };
    struct mpq_err err = { 0 };
    struct mpq_source *s;
    struct mpq_tokenizer *t = NULL;
    const size_t tail = size < 200 ? size : 200;

    if (size && data[0] == '{')
        wrap(&b, data, size);
    else
        mpq_buf_add(&b, data, size);
    const char *name = fuzz_file((const uint8_t *)b.data, b.len);
    mpq_buf_free(&b);
    if (mpq_source_open(&s, name, NULL, &err) < 0)
        return 0;
    if (mpq_tokenizer_new(&t, s, &err) < 0) {
        if (!err.code || t)
            abort();
    } else {
        char sum[17];
        mpq_tokenizer_checksum(t, sum);
        for (unsigned flags = 0; flags < 4; flags++) {
            for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
                try_text(t, texts[i], strlen(texts[i]), flags);
            try_text(t, (const char *)data + size - tail, tail, flags);
        }
    }
    mpq_tokenizer_free(t);
    mpq_source_free(s);
    return 0;
}
