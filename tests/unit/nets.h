/* The small models of tests/data/nets and the sequences that were run through them
 * (gen_nets.py there). */
#ifndef MPQ_TESTS_NETS_H
#define MPQ_TESTS_NETS_H

#include "suite.h"

#include "model/forward.h"

#include <stdio.h>
#include <string.h>

#define NETS "tests/data/nets/"

/* Every architecture, as folder and as GGUF file. */
static const char *const net_models[] = {
    "llama",           "llama.gguf",
    "llama-tied",      "llama-tied.gguf",
    "llama-linear",    "llama-linear.gguf",
    "llama-llama3",    "llama-llama3.gguf",
    "llama-yarn",      "llama-yarn.gguf",
    "mistral",         "qwen2",
    "qwen2.gguf",      "qwen3",
    "qwen3.gguf",      "gemma",
    "gemma.gguf",      "gemma2",
    "gemma2.gguf",     "gemma2-scalar",
    "gemma2-27b.gguf", "gemma3",
    "gemma3.gguf",     "gemma3-v5",
    "gemma3-27b.gguf",
};
enum { NET_MODELS = sizeof net_models / sizeof *net_models };

static inline struct mpq_source *
open_net(const char *model)
{
    struct mpq_source *s;
    struct mpq_err err = { 0 };
    char path[256];

    snprintf(path, sizeof path, NETS "%s", model);
    ck_assert_msg(mpq_source_open(&s, path, NULL, &err) == 0, "%s", err.text);
    return s;
}

/* What was written down about it: llama.want for llama and llama.gguf. */
static inline FILE *
open_beside(const char *model, const char *ending)
{
    char path[256];

    snprintf(path, sizeof path, NETS "%.*s%s", (int)strcspn(model, "."), model, ending);
    FILE *f = fopen(path, "r");
    ck_assert_msg(f != NULL, "%s", path);
    return f;
}

enum { NET_SEQS = 64, NET_TOKENS = 4096 };

/* The sequences; not to be copied, q points into it. */
struct net_text {
    uint32_t tokens[NET_TOKENS];
    size_t start[NET_SEQS + 1];
    struct mpq_seqs q;
};

/* From .want, behind its first line; F is left behind them. */
static inline void
scan_text(struct net_text *t, FILE *f, size_t n_seqs)
{
    ck_assert_uint_le(n_seqs, NET_SEQS);
    t->start[0] = 0;
    for (size_t i = 0; i < n_seqs; i++) {
        size_t n;
        ck_assert_int_eq(fscanf(f, "%zu", &n), 1);
        t->start[i + 1] = t->start[i] + n;
        ck_assert_uint_le(t->start[i + 1], NET_TOKENS);
        for (size_t k = t->start[i]; k < t->start[i + 1]; k++)
            ck_assert_int_eq(fscanf(f, "%u", &t->tokens[k]), 1);
    }
    t->q = (struct mpq_seqs){ n_seqs, t->tokens, t->start, NULL, NULL };
}

static inline void
read_text(struct net_text *t, const char *model)
{
    FILE *f = open_beside(model, ".want");
    size_t n_seqs;

    ck_assert_int_eq(fscanf(f, "%zu %*u %*u", &n_seqs), 1);
    scan_text(t, f, n_seqs);
    fclose(f);
}

#endif
