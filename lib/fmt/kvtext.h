/*
 * GGUF metadata as text, so that it can travel in the strings of a safetensors header
 * and come back as it was.
 *
 *   TYPE VALUE                 u32 30      f32 1e-05      bool 1      str SmolLM2
 *   TYPE[COUNT] VALUE ...      i32[3] 1 1 3               str[3] a b%20c %0a
 *
 * TYPE: u8 i8 u16 i16 u32 i32 u64 i64 f32 f64 bool str. Items are parted by one blank.
 * Floats are printed so that they read back exactly; nan, inf and -inf are allowed. In
 * a string, % and every byte that is not part of valid UTF-8 stand as %XX; in an array
 * of strings control bytes and the blank do as well.
 */
#ifndef MPQ_FMT_KVTEXT_H
#define MPQ_FMT_KVTEXT_H

#include "base/buf.h"
#include "fmt/gguf.h"

/* Appends the text of KV's value to OUT (check out->failed at the end). */
void mpq_kvtext_add(struct mpq_buf *out, const struct mpq_gguf_kv *kv);
/* Bytes of that text as a JSON string, without the quotes: counted, since a vocabulary
 * takes milliseconds to write. -1 when memory ends. */
MPQ_MUST_CHECK int mpq_kvtext_json_bytes(const struct mpq_gguf_kv *kv, uint64_t *bytes);
/* Adds KEY with the value that TEXT stands for to a GGUF header. -1 when TEXT is no
 * such value: nothing was added, and *err names NAME (the file), the key and the fault.
 */
MPQ_MUST_CHECK int
mpq_kvtext_put(struct mpq_gguf_head *h, const char *key, const char *text,
               const char *name, struct mpq_err *err);

#endif
