#include "quant/codec.h"

#include "base/simd.h"
#include "quant/block.h"
#include "quant/search.h"

#include <assert.h>

const struct mpq_codec *
mpq_codec_find(struct mpq_type t)
{
    switch (t.id) {
    case MPQ_F32:
        return &mpq_codec_f32;
    case MPQ_F16:
        return &mpq_codec_f16;
    case MPQ_BF16:
        return &mpq_codec_bf16;
    case MPQ_Q8_0:
        return &mpq_codec_q8_0;
    case MPQ_Q5_0:
        return &mpq_codec_q5_0;
    case MPQ_Q4_0:
        return &mpq_codec_q4_0;
    case MPQ_Q5_1:
        return &mpq_codec_q5_1;
    case MPQ_Q4_1:
        return &mpq_codec_q4_1;
    case MPQ_Q6_K:
        return &mpq_codec_q6_k;
    case MPQ_Q5_K:
        return &mpq_codec_q5_k;
    case MPQ_Q4_K:
        return &mpq_codec_q4_k;
    case MPQ_Q3_K:
        return &mpq_codec_q3_k;
    case MPQ_Q2_K:
        return &mpq_codec_q2_k;
    case MPQ_IQ4_NL:
        return &mpq_codec_iq4_nl;
    case MPQ_IQ4_XS:
        return &mpq_codec_iq4_xs;
    default:
        return NULL;
    }
}

static int
is_intb(struct mpq_type t)
{
    return t.id == MPQ_INT && t.bits >= 1 && t.bits <= 8;
}

int
mpq_codec_reads(struct mpq_type t)
{
    return is_intb(t) || mpq_codec_find(t) != NULL;
}

int
mpq_codec_writes(struct mpq_type t)
{
    return mpq_codec_reads(t);
}

const char *
mpq_effort_name(enum mpq_effort effort)
{
    static const char *const names[] = { "fast", "default", "max" };

    return names[effort];
}

void
mpq_decode_row(struct mpq_type t, const void *src, float *dst, size_t cols)
{
    const struct mpq_codec *codec = mpq_codec_find(t);

    if (!codec) {
        assert(is_intb(t));
        mpq_intb_decode(t, src, dst, cols);
        return;
    }
    assert(cols % codec->block == 0);
    codec->decode(src, dst, cols / codec->block);
}

/* Is any of the row beyond 2^40? Sums of its squares might overflow. */
MPQ_CLONES static int
is_huge_row(const float *x, size_t n)
{
    float least, greatest;

    mpq_range(x, n, &least, &greatest);
    return least < -0x1p40f || greatest > 0x1p40f;
}

/* Block by block with what is beyond 2^40 made that: no block type reaches so far, so
 * the codes are the same. */
static void
encode_huge(const struct mpq_codec *codec, const float *src, const float *importance,
            unsigned char *dst, size_t n, enum mpq_effort effort)
{
    float block[256];

    assert(codec->block <= 256);
    for (; n; n--, src += codec->block, dst += codec->block_bytes) {
        for (uint32_t i = 0; i < codec->block; i++)
            block[i] = mpq_min(mpq_max(src[i], -0x1p40f), 0x1p40f);
        codec->encode(block, importance, dst, 1, effort);
        if (importance)
            importance += codec->block;
    }
}

void
mpq_encode_row(struct mpq_type t, const float *src, const float *importance, void *dst,
               size_t cols, enum mpq_effort effort)
{
    const struct mpq_codec *codec = mpq_codec_find(t);

    if (!codec) {
        assert(is_intb(t));
        mpq_intb_encode(t, src, importance, dst, cols, effort);
        return;
    }
    assert(cols % codec->block == 0);
    if (codec->block > 1 && is_huge_row(src, cols))
        encode_huge(codec, src, importance, dst, cols / codec->block, effort);
    else
        codec->encode(src, importance, dst, cols / codec->block, effort);
}
