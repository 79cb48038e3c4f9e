/*
 * Tasks: which questions, how they are put and how answers are judged. A file of
 * questions (task_file.h) is one by itself; a YAML file is a list of maps, FILE alone
 * is needed in each:
 *
 *   - file: gsm8k.eval.jsonl      # beside the list, unless it begins with /
 *     name: gsm8k-5shot           # default: the file's name
 *     kind: generate              # or choice; default: what the items look like
 *     template: "Q: {prompt}"     # {KEY}: a string of the item; {{ is {
 *     shots: 5                    # solved examples put before each question
 *     shots_from: gsm8k.calib.jsonl
 *     limit: 100                  # the first items only
 *     metrics: [em, loss]         # default: all of the kind
 *     match: number               # or word, text; default: what the answers look like
 *     pattern: '#### (-?[0-9]+)'  # in the place of match
 *     stop: ["\n\n"]              # default: those of the match
 *     max_new: 256                # tokens generated; default: that of the match
 */
#ifndef MPQ_MODEL_TASK_LIST_H
#define MPQ_MODEL_TASK_LIST_H

#include "model/task_file.h"

/* How a generated answer is held against the right one. */
enum mpq_match {
    MPQ_MATCH_DEFAULT,
    MPQ_MATCH_NUMBER,  /* the last number */
    MPQ_MATCH_WORD,    /* the first word */
    MPQ_MATCH_TEXT,    /* all of it, normalized */
    MPQ_MATCH_PATTERN, /* what a regular expression finds last */
};

enum {
    MPQ_TASK_ACC = 1,
    MPQ_TASK_ACC_NORM = 2,
    MPQ_TASK_LOSS = 4,
    MPQ_TASK_EM = 8,
    MPQ_TASK_KLD = 16
};

struct mpq_task {
    const char *name, *file; /* file: the path to open */
    enum mpq_task_kind kind;
    const char *template_text; /* NULL: the prompt as it stands */
    size_t shots;
    const char *shots_from; /* path; NULL without shots */
    size_t limit, max_new;  /* 0: no limit; the default of the match */
    unsigned metrics;       /* MPQ_TASK_*, 0: all of the kind */
    enum mpq_match match;
    const char *pattern; /* NULL: none */
    const char **stop;   /* [n_stop]; NULL: those of the match */
    size_t n_stop;
    const char *place; /* where the task is said, for messages */
};

struct mpq_task_list {
    struct mpq_task *tasks;
    size_t n, cap;
    struct mpq_pool strings;
};

/* Appends what PATH tells: a YAML list (.yaml, .yml), or else one task of that name. -1
 * with file and line of what is wrong. */
MPQ_MUST_CHECK int
mpq_task_list_add(struct mpq_task_list *l, const char *path, struct mpq_err *err);
/* Appends the tasks of a YAML text; FOLDER ("" or with its /) is put before files. */
MPQ_MUST_CHECK int
mpq_task_list_parse(struct mpq_task_list *l, const char *text, size_t n,
                    const char *name, const char *folder, struct mpq_err *err);
void mpq_task_list_free(struct mpq_task_list *l); /* and makes it empty */
/* Name of a file without its folder and its last suffix (".eval.jsonl" loses ".jsonl"
 * alone), "-" for standard input; in the pool, NULL when out of memory. */
const char *mpq_task_base_name(struct mpq_pool *pool, const char *path);

/* The context of ITEM: TEMPLATE_TEXT filled in, or its prompt without one; appended to
 * TEXT. -1 with the item's line in NAME when a {KEY} has no string. */
struct mpq_buf;
MPQ_MUST_CHECK int
mpq_task_fill(const char *template_text, const struct mpq_task_item *item,
              const char *name, struct mpq_buf *text, struct mpq_err *err);

#endif
