/* What the tok*.c files share; nobody else includes this. */
#ifndef MPQ_MODEL_TOK_OWN_H
#define MPQ_MODEL_TOK_OWN_H

#include "base/pool.h"
#include "fmt/json.h"
#include "fmt/regex.h"
#include "model/tokenizer.h"

/* No token; no symbol. */
#define MPQ_TOK_NONE UINT32_MAX
/* U+2581, which stands for a blank in SentencePiece vocabularies. */
#define MPQ_TOK_MARK "\xe2\x96\x81"
enum { MPQ_TOK_MARK_LEN = 3 };

enum mpq_tok_kind { /* as a GGUF numbers its tokenizer.ggml.token_type */
                    MPQ_TOK_NORMAL = 1,
                    MPQ_TOK_UNKNOWN = 2,
                    MPQ_TOK_CONTROL = 3,
                    MPQ_TOK_USER = 4,
                    MPQ_TOK_UNUSED = 5,
                    MPQ_TOK_BYTE = 6,
};

struct mpq_tok_text {
    const char *s; /* NULL: there is none */
    size_t n;
};

/* A token, or a string that only merges know (behind the tokens). */
struct mpq_tok_piece {
    struct mpq_tok_text raw;  /* as the file has it */
    struct mpq_tok_text key;  /* what it is in the text that is merged; none: never */
    struct mpq_tok_text text; /* what it is decoded to */
    uint32_t rank;            /* by_score: 0 is merged first */
    uint8_t kind, lstrip, rstrip, single_word;
};

/* Texts to positions in `pieces`: open addressing. */
struct mpq_tok_map {
    uint32_t *slots; /* position + 1; 0 is free */
    size_t mask, n;
    uint64_t seed;
};

struct mpq_tok_merge { /* left and right become id */
    uint32_t left, right, rank, id;
};

struct mpq_tok_merges {
    struct mpq_tok_merge *slots; /* left == MPQ_TOK_NONE is free */
    size_t mask, n;
    uint64_t seed;
};

struct mpq_tok_node { /* of a trie; children are a list */
    uint32_t child, next, id;
    uint8_t byte;
};

/* Added tokens by their text. */
struct mpq_tok_trie {
    struct mpq_tok_node *nodes; /* node 0 is no node */
    size_t n, cap;
    uint32_t root[256];
    int strips; /* some token takes the blanks around it */
};

enum mpq_tok_behavior { /* what becomes of a match: as tokenizer.json names it */
                        MPQ_TOK_ISOLATED,
                        MPQ_TOK_REMOVED,
                        MPQ_TOK_WITH_PREVIOUS,
                        MPQ_TOK_WITH_NEXT,
                        MPQ_TOK_CONTIGUOUS,
};

enum mpq_tok_step_kind {
    MPQ_TOK_STEP_REGEX,
    MPQ_TOK_STEP_GROUPS,    /* digits in groups of three from the right */
    MPQ_TOK_STEP_PREFIX,    /* a blank before, unless there is one */
    MPQ_TOK_STEP_METASPACE, /* blanks become marks, words are parted before marks */
    MPQ_TOK_STEP_CUT,       /* parts where no merge reaches across */
};

struct mpq_tok_step { /* of parting text into words */
    enum mpq_tok_step_kind kind;
    enum mpq_tok_behavior behavior;
    int invert; /* what is between the matches counts as a match */
    int behind; /* GROUPS: parts behind every group; otherwise before those of three */
    int always, first; /* METASPACE: prepends a mark to every text, to the first one */
    int split;         /* METASPACE */
    struct mpq_regex *regex;
};

enum mpq_tok_norm_kind { MPQ_TOK_PREPEND, MPQ_TOK_REPLACE, MPQ_TOK_REPLACE_REGEX };

struct mpq_tok_norm { /* a change of the text before all else */
    enum mpq_tok_norm_kind kind;
    struct mpq_tok_text from, to;
    struct mpq_regex *regex;
};

struct mpq_tokenizer {
    struct mpq_pool pool;
    struct mpq_tok_piece *pieces;
    size_t n, n_all, cap; /* tokens; with what only merges know */
    struct mpq_tok_map raw, keys;
    struct mpq_tok_merges merges;

    int byte_level;      /* symbols are bytes; tokens are written in GPT-2's alphabet */
    int by_score;        /* any two symbols that form a token merge, best score first */
    int byte_fallback;   /* unknown characters become <0xXX> */
    int hf;              /* the rules of `tokenizers`, where llama.cpp has others */
    int ignore_merges;   /* a word that is a token is one, whatever the merges say */
    int newline_words;   /* the same for words of newlines */
    int fuse_unknown;    /* a run of unknown characters is one unknown token */
    int strip_first;     /* decoding drops one leading blank */
    uint32_t unknown;    /* or MPQ_TOK_NONE */
    uint32_t byte[256];  /* byte_level: the symbol of a byte, else the token <0xXX> */
    uint32_t ascii[256]; /* of each byte below 128 alone */
    uint8_t joined[256]; /* some key has a mark behind this byte */

    struct mpq_tok_trie added, added_norm; /* in the text; in the changed text */
    struct mpq_tok_norm *norms;
    size_t n_norms, norms_cap;
    struct mpq_tok_step *steps;
    size_t n_steps, steps_cap;

    int64_t bos, eos;
    int add_bos, add_eos;
    struct mpq_tokens before, after; /* what ADD_SPECIAL adds */
    uint8_t *eog;                    /* [n] */
    uint64_t checksum;
};

/* tok_vocab.c: pieces, maps, merges. */

/* Adds a token with the position t->n_all; RAW[n] is copied. */
MPQ_MUST_CHECK int mpq_tok_add(struct mpq_tokenizer *t, const char *raw, size_t n,
                               enum mpq_tok_kind kind, struct mpq_err *err);
/* After the last token: keys, decoded texts and both maps. Two equal tokens are an
 * error. NAME is for messages. */
MPQ_MUST_CHECK int
mpq_tok_index(struct mpq_tokenizer *t, const char *name, struct mpq_err *err);
/* The token whose name in the file is S[n], or MPQ_TOK_NONE. */
uint32_t mpq_tok_named(const struct mpq_tokenizer *t, const char *s, size_t n);
/* The piece whose key is S[n], or MPQ_TOK_NONE. */
uint32_t mpq_tok_find(const struct mpq_tokenizer *t, const char *s, size_t n);
/* Makes room for N merges; before the first of them. */
MPQ_MUST_CHECK int
mpq_tok_merges_init(struct mpq_tokenizer *t, size_t n, struct mpq_err *err);
/* Adds the merge of A[n_a] and B[n_b], as the file writes them. Where a part or the
 * result is no token: t->hf: 0 and nothing was added; otherwise it becomes a piece that
 * only merges know. 1 when it was added (or can never happen). */
MPQ_MUST_CHECK int
mpq_tok_add_merge(struct mpq_tokenizer *t, const char *a, size_t n_a, const char *b,
                  size_t n_b, uint32_t rank, struct mpq_err *err);
/* The merge of LEFT and RIGHT, or NULL. */
const struct mpq_tok_merge *
mpq_tok_merge(const struct mpq_tokenizer *t, uint32_t left, uint32_t right);
/* tok_finish.c: what follows from the vocabulary. */

/* Kinds that names tell, as llama.cpp overrides them: before mpq_tok_index. HAS(arg,
 * key): does the file name the token of this kind itself ("fim_pre", "eot" ...)? */
void mpq_tok_name_kinds(struct mpq_tokenizer *t,
                        int (*has)(const void *arg, const char *key), const void *arg);
/* Once all is known: single bytes, the cut, what ADD_SPECIAL adds where t->before and
 * t->after are empty, end of generation, checksum. NAME is for messages. */
MPQ_MUST_CHECK int
mpq_tok_finish(struct mpq_tokenizer *t, const char *name, struct mpq_err *err);
/* Scores become ranks: the greatest is merged first. Not for NaN. */
uint32_t mpq_tok_rank(float score);

/* A copy of S[n] in the tokenizer's pool; s = NULL when out of memory. */
struct mpq_tok_text mpq_tok_copy(struct mpq_tokenizer *t, const char *s, size_t n);
/* Adds an empty step / norm at the end, and lends it; NULL when out of memory. */
struct mpq_tok_step *mpq_tok_add_step(struct mpq_tokenizer *t);
struct mpq_tok_norm *mpq_tok_add_norm(struct mpq_tokenizer *t);
/* Adds a step that isolates the matches of PATTERN, and lends it; NULL on error. */
struct mpq_tok_step *
mpq_tok_add_regex(struct mpq_tokenizer *t, const char *pattern, size_t n,
                  unsigned flags, const char *name, struct mpq_err *err);

/* tok_alphabet.c: GPT-2's alphabet for bytes, in which printable Latin-1 bytes stand
 * for themselves and the others, in order, for U+0100 and on. */

/* Is B printable, and therefore written as U+00B? */
int mpq_tok_byte_is_plain(unsigned b);
/* The bytes that S[n] stands for, into OUT[n]: their number, or -1 when it has a
 * character that is none of the alphabet. */
long mpq_tok_from_alphabet(const char *s, size_t n, char *out);

/* tok_gguf.c, tok_pre.c, tok_json.c: reading. NAME is for messages. */

MPQ_MUST_CHECK int mpq_tok_read_gguf(struct mpq_tokenizer *t, const struct mpq_gguf *g,
                                     const char *name, struct mpq_err *err);
/* Steps and rules that tokenizer.ggml.pre = PRE asks for; *add_bos is set where it says
 * so, *no_bos where the model has no BOS by default. */
MPQ_MUST_CHECK int mpq_tok_pre(struct mpq_tokenizer *t, const char *pre, int *add_bos,
                               int *no_bos, const char *name, struct mpq_err *err);
MPQ_MUST_CHECK int
mpq_tok_read_json(struct mpq_tokenizer *t, const struct mpq_json *json,
                  const struct mpq_json *config, const char *name, struct mpq_err *err);
/* tok_json_pre.c: the normalizer, the pre_tokenizer and the decoder of a tokenizer.json
 */
MPQ_MUST_CHECK int
mpq_tok_read_stages(struct mpq_tokenizer *t, const struct mpq_json *json,
                    const char *name, struct mpq_err *err);

/* tok_added.c: added tokens in text. */

MPQ_MUST_CHECK int mpq_tok_trie_add(struct mpq_tok_trie *x, const char *s, size_t n,
                                    uint32_t id, struct mpq_err *err);

/* What is found: token ID (or MPQ_TOK_NONE: text) at text[start, end). */
typedef int
mpq_tok_part(void *arg, uint32_t id, const char *s, size_t n, struct mpq_err *err);
/* Parts TEXT[n] at added tokens, calling PART(arg, ...) for each part in order. */
MPQ_MUST_CHECK int
mpq_tok_split_added(const struct mpq_tokenizer *t, const struct mpq_tok_trie *x,
                    const char *text, size_t n, unsigned flags, mpq_tok_part *part,
                    void *arg, struct mpq_err *err);

/* tok_words.c, tok_merge.c: one call of encode. */

struct mpq_tok_symbol {
    uint32_t start, len; /* in the word; len = 0: gone */
    uint32_t prev, next; /* or MPQ_TOK_NONE */
    uint32_t id;         /* of a piece, or MPQ_TOK_NONE */
};

struct mpq_tok_pair { /* two neighbors that may be merged */
    uint32_t rank, left, right, len, id;
};

struct mpq_tok_seen { /* a word that was met before, and its tokens */
    uint64_t hash;
    size_t at;     /* of its bytes in `words` */
    uint32_t from; /* of its tokens in the output, when n > 0 */
    uint16_t len, n;
};

struct mpq_tok_run {
    const struct mpq_tokenizer *t;
    unsigned flags;
    struct mpq_tokens *out;
    struct mpq_regex_work *work;
    struct mpq_tok_symbol *symbols;
    size_t n_symbols, symbols_cap;
    struct mpq_tok_pair *heap;
    size_t n_heap, heap_cap;
    struct mpq_tok_seen *seen; /* [seen_mask + 1], or NULL */
    size_t seen_mask;
    struct mpq_buf words;
    int first; /* no text was met before */
};

/* Appends the tokens of the changed text S[n]: parts it into words. */
MPQ_MUST_CHECK int
mpq_tok_text(struct mpq_tok_run *run, const char *s, size_t n, struct mpq_err *err);
/* Appends the tokens of one word. */
MPQ_MUST_CHECK int
mpq_tok_word(struct mpq_tok_run *run, const char *s, size_t n, struct mpq_err *err);
/* The normalized form of S[n] into OUT, which is empty. */
MPQ_MUST_CHECK int
mpq_tok_normalize(const struct mpq_tokenizer *t, struct mpq_regex_work *work,
                  const char *s, size_t n, struct mpq_buf *out, struct mpq_err *err);

#endif
