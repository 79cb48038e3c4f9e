/*
 * f32, f16, bf16: little-endian numbers one after the other. Encoding rounds to the
 * nearest, ties to even; a value too large for f16 becomes its largest finite one, so
 * that a finite row stays finite.
 */
#include "quant/block.h"

#include "base/simd.h"
#include "quant/half.h"

MPQ_CLONES static void
decode_f32(const unsigned char *src, float *dst, size_t n)
{
    for (size_t i = 0; i < n; i++, src += 4)
        dst[i] = mpq_bits_f32((uint32_t)src[0] | (uint32_t)src[1] << 8 |
                              (uint32_t)src[2] << 16 | (uint32_t)src[3] << 24);
}

MPQ_CLONES static void
decode_f16(const unsigned char *src, float *dst, size_t n)
{
    for (size_t i = 0; i < n; i++, src += 2)
        dst[i] = mpq_f16_to_f32((uint16_t)(src[0] | src[1] << 8));
}

MPQ_CLONES static void
decode_bf16(const unsigned char *src, float *dst, size_t n)
{
    for (size_t i = 0; i < n; i++, src += 2)
        dst[i] = mpq_bf16_to_f32((uint16_t)(src[0] | src[1] << 8));
}

MPQ_CLONES static void
store_f32(const float *src, unsigned char *dst, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t u = mpq_f32_bits(src[i]);
        dst[4 * i] = (unsigned char)u;
        dst[4 * i + 1] = (unsigned char)(u >> 8);
        dst[4 * i + 2] = (unsigned char)(u >> 16);
        dst[4 * i + 3] = (unsigned char)(u >> 24);
    }
}

MPQ_CLONES static void
store_f16(const float *src, unsigned char *dst, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint16_t h = mpq_f32_to_f16(mpq_f16_clamp(src[i]));
        dst[2 * i] = (unsigned char)h;
        dst[2 * i + 1] = (unsigned char)(h >> 8);
    }
}

/* The largest finite floats would round up to infinity. */
MPQ_CLONES static void
store_bf16(const float *src, unsigned char *dst, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t h = mpq_f32_to_bf16(src[i]);
        h = (h & 0x7fffu) == 0x7f80u ? h - 1 : h;
        dst[2 * i] = (unsigned char)h;
        dst[2 * i + 1] = (unsigned char)(h >> 8);
    }
}

static void
encode_f32(const float *src, const float *importance, unsigned char *dst, size_t n,
           enum mpq_effort effort)
{
    (void)importance, (void)effort;
    store_f32(src, dst, n);
}

static void
encode_f16(const float *src, const float *importance, unsigned char *dst, size_t n,
           enum mpq_effort effort)
{
    (void)importance, (void)effort;
    store_f16(src, dst, n);
}

static void
encode_bf16(const float *src, const float *importance, unsigned char *dst, size_t n,
            enum mpq_effort effort)
{
    (void)importance, (void)effort;
    store_bf16(src, dst, n);
}

const struct mpq_codec mpq_codec_f32 = {
    .block = 1, .block_bytes = 4, .decode = decode_f32, .encode = encode_f32
};
const struct mpq_codec mpq_codec_f16 = {
    .block = 1, .block_bytes = 2, .decode = decode_f16, .encode = encode_f16
};
const struct mpq_codec mpq_codec_bf16 = {
    .block = 1, .block_bytes = 2, .decode = decode_bf16, .encode = encode_bf16
};
