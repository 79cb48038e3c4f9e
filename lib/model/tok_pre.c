/*
 * Pre-tokenizers by the names of tokenizer.ggml.pre. The names and what each one does
 * are llama.cpp's (src/llama-vocab.cpp, src/unicode.cpp). Where llama.cpp departs from
 * the model's own pattern, as with capitals beyond ASCII in gpt-4o and tekken, this
 * does as llama.cpp does: that is where a GGUF file runs.
 */
#include "model/tok_own.h"

#include <string.h>

#define CONTRACTION "'(?:[sStTmMdD]|[rRvV][eE]|[lL][lL])"
#define GPT2                                                                           \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)"
#define WORD   "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define SIGNS  " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
#define SPACES "\\s+(?!\\S)|\\s+"
#define LINES  "\\s*[\\r\\n]+|" SPACES
#define LLAMA3 CONTRACTION "|" WORD "|\\p{N}{1,3}|" SIGNS "|" LINES
#define QWEN2  CONTRACTION "|" WORD "|\\p{N}|" SIGNS "|" LINES
/* Letters but the small (capital) ones of ASCII: to llama.cpp all others are both. */
#define NOT_SMALL(of)   "(?:(?![a-z])[" of "])"
#define NOT_CAPITAL(of) "(?:(?![A-Z])[" of "])"
#define CASED(of, tail)                                                                \
    "[^\\r\\n\\p{L}\\p{N}]?" NOT_SMALL(of) "*" NOT_CAPITAL(                            \
        of) "+" tail                                                                   \
            "|[^\\r\\n\\p{L}\\p{N}]?" NOT_SMALL(of) "+" NOT_CAPITAL(of) "*" tail
#define REST     " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" LINES
#define ANY_CASE "[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+(?:" CONTRACTION ")?"
#define CJK_KANA "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{30ff}]+"
/* without the blanks in that range: llama.cpp turns them into another one before */
#define CJK_OTHER "(?:(?!\\s)[\\x{800}-\\x{9fa5}\\x{ac00}-\\x{d7ff}])+"
#define ASCII_WORD                                                                     \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"                            \
    "|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
#define FINNISH                                                                        \
    " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c})]+"
/* Numbers in groups of three from the right, parted behind each group (and not before
 * the first, as in llama.cpp); not a pattern, see split_groups. */
#define GROUPS "groups"
/* The same, parted before each group of three. */
#define INNER_GROUPS "inner groups"

/* Cased letters of Latin, Greek, Cyrillic, Armenian, Georgian, Cherokee and so on. */
static const char deepseek_letters[] =
    "\\s?[A-Za-z\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}"
    "\\x{1c4}-\\x{293}\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}"
    "\\x{37f}\\x{386}\\x{388}-\\x{38a}\\x{38c}\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}"
    "\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{556}\\x{10a0}-\\x{10c5}"
    "\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}\\x{1cbd}-\\x{1cbf}"
    "\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}"
    "\\x{1f18}-\\x{1f1d}\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}"
    "\\x{1f59}\\x{1f5b}\\x{1f5d}\\x{1f5f}-\\x{1f7d}\\x{1f80}-\\x{1fb4}\\x{1fb6}-\\x{1fbc}"
    "\\x{1fbe}\\x{1fc2}-\\x{1fc4}\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}\\x{1fd6}-\\x{1fdb}"
    "\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}"
    "\\x{210a}-\\x{2113}\\x{2115}\\x{2119}-\\x{211d}\\x{2124}\\x{2126}\\x{2128}"
    "\\x{212a}-\\x{212d}\\x{212f}-\\x{2134}\\x{2139}\\x{213c}-\\x{213f}\\x{2145}-\\x{2149}"
    "\\x{214e}\\x{2183}\\x{2184}\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}\\x{2ceb}-\\x{2cee}"
    "\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}"
    "\\x{a771}-\\x{a787}\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}"
    "\\x{fb13}-\\x{fb17}\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}"
    "\\x{104b0}-\\x{104d3}\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}"
    "\\x{118a0}-\\x{118df}\\x{1e900}-\\x{1e943}]+";

enum { MERGES = 1, BOS = 2, NO_BOS = 4, NEWLINES = 8 }; /* what else a name says */
enum { N_STEPS = 6 };

static const struct pre {
    const char *names; /* parted by blanks */
    unsigned flags;    /* MERGES: words that are tokens are not merged */
    const char *steps[N_STEPS];
} pres[] = {
    { "default",
      0,
      { "[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]" } },
    { "gpt-2 phi-2 jina-es jina-de jina-v2-es jina-v2-de gigachat a.x-4.0 mellum "
      "modern-bert exaone4 mpt olmo jais trillion granite-docling",
      0,
      { GPT2 } },
    { "smollm starcoder refact command-r codeshell exaone minerva-7b mellum2",
      0,
      { "\\p{N}", GPT2 } },
    { "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
      MERGES | BOS,
      { LLAMA3 } },
    { "dbrx smaug-bpe", 0, { LLAMA3 } },
    { "chatglm-bpe", NO_BOS, { LLAMA3 } },
    { "glm4 glm5", NO_BOS | MERGES, { LLAMA3 } },
    { "jais-2",
      0,
      { CONTRACTION "|" WORD "|\\p{N}{1,3}|" SIGNS "|\\s*[\\r\\n]+"
                    "|\\s{512}(?!\\S)|\\s{256}(?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)"
                    "|\\s{32}(?!\\S)|\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{4}(?!\\S)"
                    "|\\s{1,2}(?!\\S)|\\s{1}" } },
    { "qwen2 deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2",
      0,
      { QWEN2 } },
    { "qwen35",
      0,
      { CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}"
                    "| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" LINES } },
    { "ufakzeka", 0, { WORD "|\\p{N}|" SIGNS "|" LINES } },
    { "laguna", 0, { "[^\\n]+|[\\n]+", QWEN2 } },
    { "minicpm5",
      MERGES,
      { "\\p{N}{1,3}", CONTRACTION "|" WORD "|\\p{N}+|" SIGNS "|" LINES } },
    { "bailingmoe bailingmoe2 llada-moe",
      0,
      { CONTRACTION "|" WORD "|\\p{N}|" SIGNS "|\\s*[\\r\\n]|" SPACES } },
    { "seed-coder",
      0,
      { CONTRACTION "|" WORD "|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" LINES } },
    { "exaone-moe",
      0,
      { CONTRACTION
        "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}"
        "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|" SPACES } },
    { "deepseek-llm",
      0,
      { "[\\r\\n]", deepseek_letters,
        "\\s?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}"
        "\\x{3001}\\x{3002}]+",
        "\\s+$", CJK_OTHER, "\\p{N}+" } },
    { "deepseek-coder",
      0,
      { "[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", CJK_OTHER, "\\p{N}" } },
    { "deepseek-v3 hunyuan-dense joyai-llm hy_v4",
      0,
      { "\\p{N}{1,3}", CJK_KANA, ASCII_WORD "| ?[\\p{P}\\p{S}]+[\\r\\n]*|" LINES } },
    { "spark2_5",
      0,
      { "\\p{N}{1,3}", CJK_KANA, ASCII_WORD "| ?[\\p{P}\\p{S}]+|[\\r\\n]|" SPACES,
        "\\p{N}" } },
    { "youtu",
      MERGES,
      { "[\\x{ac00}-\\x{d7a3}\\x{3131}-\\x{318e}]+"
        "|[\\x{ff01}\\x{2026}\\x{201c}\\x{201d}\\x{2018}\\x{2019}\\x{2014}\\x{ff1a}"
        "\\x{ff1b}\\x{ff0c}\\x{3001}-\\x{303f}\\x{fe30}-\\x{fe4f}]+"
        "|[\\x{3105}-\\x{312f}]+|" CJK_KANA,
        ANY_CASE "|\\p{N}|" REST } },
    { "falcon", 0, { "[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]" } },
    { "poro-chat bloom gpt3-finnish", 0, { FINNISH } },
    { "viking", 0, { FINNISH, "\\p{N}" } },
    { "tekken", MERGES | BOS, { CASED("\\p{L}", "") "|\\p{N}|" REST } },
    { "gpt-4o llama4 kanana2 talkie minimax-m2",
      0,
      { CASED("\\p{L}", "(?:" CONTRACTION ")?") "|\\p{N}{1,3}|" REST } },
    { "granite-embed-multi-97m",
      MERGES,
      { CASED("\\p{L}\\p{M}", "(?:" CONTRACTION ")?") "|\\p{N}{1,3}|" REST } },
    { "tiny_aya cohere2moe", 0, { GROUPS, ANY_CASE "|\\p{N}{1,3}|" REST } },
    { "superbpe", 0, { "\\p{N}+", INNER_GROUPS } },
    { "afmoe",
      0,
      { GROUPS,
        "[\\x{4e00}-\\x{9fff}\\x{3400}-\\x{4dbf}\\x{8c48}-\\x{faff}\\x{3040}-\\x{30ff}"
        "\\x{ff65}-\\x{ff9f}\\x{2f00}-\\x{2fdf}\\x{e40}-\\x{eff}\\x{1780}-\\x{17ff}"
        "\\x{1000}-\\x{109f}\\x{aa60}-\\x{aa7f}\\x{a9e0}-\\x{a9ff}\\x{ac00}-\\x{d7af}"
        "\\x{1100}-\\x{11ff}]+",
        ASCII_WORD "| ?[\\p{P}\\p{S}]+[\\r\\n]*|" LINES } },
    { "chameleon",
      BOS,
      { "<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
        "([\\t\\n]|    |  )", "\\p{N}", "[\\p{P}!-/:-@\\[-`{-~]", GPT2 } },
    { "gemma4", NEWLINES | BOS, { "[^\\n]+|[\\n]+" } },
};

static int
has_word(const char *words, const char *word)
{
    const size_t n = strlen(word);

    for (const char *p = words; n && (p = strstr(p, word)); p += n)
        if ((p == words || p[-1] == ' ') && (p[n] == ' ' || !p[n]))
            return 1;
    return 0;
}

static int
add_steps(struct mpq_tokenizer *t, const struct pre *pre, const char *name,
          struct mpq_err *err)
{
    for (size_t i = 0; i < N_STEPS && pre->steps[i]; i++) {
        const char *pattern = pre->steps[i];
        const int outer = !strcmp(pattern, GROUPS),
                  inner = !strcmp(pattern, INNER_GROUPS);
        if (outer || inner)
            pattern = outer ? "\\p{N}+" : "[0-9]+";
        struct mpq_tok_step *step =
            mpq_tok_add_regex(t, pattern, strlen(pattern), 0, name, err);
        if (!step)
            return -1;
        if (outer || inner)
            step->kind = MPQ_TOK_STEP_GROUPS;
        step->behind = outer;
    }
    return 0;
}

int
mpq_tok_pre(struct mpq_tokenizer *t, const char *pre, int *add_bos, int *no_bos,
            const char *name, struct mpq_err *err)
{
    for (size_t i = 0; i < sizeof pres / sizeof *pres; i++) {
        if (!has_word(pres[i].names, pre))
            continue;
        t->ignore_merges = (pres[i].flags & MERGES) != 0;
        t->newline_words = (pres[i].flags & NEWLINES) != 0;
        *add_bos = (pres[i].flags & BOS) != 0;
        *no_bos = (pres[i].flags & NO_BOS) != 0;
        return add_steps(t, &pres[i], name, err);
    }
    return mpq_fail(err, MPQ_EDATA, "%s: unknown pre-tokenizer %s (tokenizer.ggml.pre)",
                    name, pre);
}
