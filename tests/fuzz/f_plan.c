/* Plans, as tables and as lines of patterns, against a model of two layers. */
#include "file.h"
#include "replay.h"

#include "model/plan.h"

#include <string.h>

static const char model[] =
    "##tensor token_embd q8_0 512 256\n"
    "##tensor blk.0.attn_q f16 256 256\n##tensor blk.0.ffn_down f16 256 512\n"
    "##tensor blk.1.attn_q f16 256 576\n##tensor blk.1.ffn_down f16 256 100\n"
    "##file 4096 32 rest=1000 container=gguf st_header=4000 st_rest=900 n_layer=2 tied=1"
    " arch=llama name=m\n#unit\ttype\n";

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mpq_err err = { 0 };
    struct mpq_layout layout;
    struct mpq_plan plan;
    struct mpq_tsv *t;
    struct mpq_buf text = { 0 };

    if (mpq_tsv_parse(&t, model, strlen(model), "model", NULL, &err) < 0 ||
        mpq_layout_from_tsv(&layout, t, &err) < 0)
        abort();
    mpq_tsv_free(t);
    if (mpq_plan_read(&plan, fuzz_file(data, size), &layout, &err) < 0) {
        if (!err.code)
            abort();
    } else {
        if (mpq_plan_llama(&plan, &text, &err) < 0 && !err.code)
            abort();
        mpq_buf_free(&text);
        mpq_plan_free(&plan);
    }
    mpq_layout_free(&layout);
    return 0;
}
