/* Which of llama.cpp's pre-tokenizers the stages of a tokenizer.json are. llama.cpp's
 * converter tells them by a hash of the tokens of one text (conversion/base.py,
 * get_vocab_base_pre); here the stages themselves are compared, whatever the words in
 * the vocabulary. */
#include "base/buf.h"
#include "model/convert_own.h"

#include <string.h>

#define LLAMA3_HEAD "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define TAIL        "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define TAIL2       "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPER       "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER       "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define SUFFIX      "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"

/* A stage a part, parted by U+0001: "digits", "bytes" (ByteLevel without its pattern),
 * "gpt2" (with it), or the pattern of a Split that isolates. */
static const struct {
    const char *pre;
    int ignore_merges; /* words that are tokens are not merged */
    const char *stages;
} known[] = {
    { "gpt-2", 0, "gpt2" },
    { "smollm", 0, "digits\1gpt2" },
    { "llama-bpe", 1, LLAMA3_HEAD "\\p{N}{1,3}" TAIL "\1bytes" },
    { "smaug-bpe", 0, LLAMA3_HEAD "\\p{N}{1,3}" TAIL "\1bytes" },
    { "qwen2", 0, LLAMA3_HEAD "\\p{N}" TAIL "\1bytes" },
    { "tekken", 1, UPPER "*" LOWER "+|" UPPER "+" LOWER "*|\\p{N}" TAIL2 "\1bytes" },
    { "gpt-4o", 0,
      UPPER "*" LOWER "+" SUFFIX "|" UPPER "+" LOWER "*" SUFFIX "|\\p{N}{1,3}" TAIL2
            "\1bytes" },
    { "deepseek-coder", 0,
      "[\\r\\n]\1\\s?\\p{L}+\1\\s?\\p{P}+\1[一-龥ࠀ-一가-퟿]+\1digits\1bytes" },
};

/* Appends the name of the stage V; what is not known, or does more, becomes its type
 * alone, which stands in no list. */
static void
add_stage(struct mpq_buf *b, const struct mpq_json *v)
{
    const char *type = mpq_json_text(v, "type");

    if (strcmp(type, "Sequence") == 0) {
        const struct mpq_json *all = mpq_json_get(v, "pretokenizers");
        for (size_t i = 0; i < mpq_json_count(all); i++)
            if (strcmp(mpq_json_text(mpq_json_item(all, i), "type"), "Sequence") != 0)
                add_stage(b, mpq_json_item(all, i));
            else
                mpq_buf_adds(b, "\1Sequence");
        return;
    }
    if (b->len)
        mpq_buf_adds(b, "\1");
    if (strcmp(type, "ByteLevel") == 0 && !mpq_json_flag(v, "add_prefix_space", 1)) {
        mpq_buf_adds(b, mpq_json_flag(v, "use_regex", 1) ? "gpt2" : "bytes");
    } else if (strcmp(type, "Digits") == 0 &&
               mpq_json_flag(v, "individual_digits", 0)) {
        mpq_buf_adds(b, "digits");
    } else if (strcmp(type, "Split") == 0 && !mpq_json_flag(v, "invert", 0) &&
               strcmp(mpq_json_text(v, "behavior"), "Isolated") == 0) {
        mpq_buf_adds(b, mpq_json_text(mpq_json_get(v, "pattern"), "Regex"));
    } else {
        mpq_buf_adds(b, type);
    }
}

const char *
mpq_convert_pre(const struct mpq_json *json, struct mpq_buf *what)
{
    const int ignore = mpq_json_flag(mpq_json_get(json, "model"), "ignore_merges", 0);

    add_stage(what, mpq_json_get(json, "pre_tokenizer"));
    for (size_t i = 0; !what->failed && what->data && i < sizeof known / sizeof *known;
         i++)
        if (strcmp(what->data, known[i].stages) == 0 &&
            known[i].ignore_merges == ignore)
            return known[i].pre;
    return NULL;
}

const char *
mpq_convert_stages(const char *pre, int *ignores)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(pre, known[i].pre) == 0) {
            *ignores = known[i].ignore_merges;
            return known[i].stages;
        }
    return NULL;
}
