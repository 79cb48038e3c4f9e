#include "quant/split.h"

#include "quant/block.h"

#include <assert.h>

static const struct mpq_split *
find(struct mpq_type t)
{
    const struct mpq_codec *codec = mpq_codec_find(t);

    return codec && codec->split ? codec->split : NULL;
}

int
mpq_split_form(struct mpq_type t, struct mpq_gemm8_form *form)
{
    const struct mpq_split *split = find(t);

    if (split)
        *form = split->form;
    return split != NULL;
}

void
mpq_split_row(struct mpq_type t, const void *src, signed char *code, float *scale,
              float *min, size_t cols)
{
    const struct mpq_split *split = find(t);
    const struct mpq_codec *codec = mpq_codec_find(t);

    assert(split && cols % codec->block == 0);
    split->split(src, code, scale, min, cols / codec->block);
}
