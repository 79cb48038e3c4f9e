/*
 * Questions with known answers, a JSON object a line:
 *
 *   {"id": "a-1", "prompt": "2 and 2 is", "choices": [" 3", " 4"], "gold": 1}
 *   {"id": "b-1", "prompt": "2 + 2?\nAnswer:", "answer": " 2+2=4. #### 4", "gold": "4"}
 *
 * Multiple choice: each of CHOICES is appended to PROMPT as it stands, GOLD is the
 * index of the right one; SCORE_FROM (optional, an integer a choice) says how many
 * leading characters of a choice belong to the context. Generation: ANSWER is a
 * reference text that is appended as it stands, GOLD the final answer alone, ALIASES
 * (optional) others that are right too. Without an ID that is a string the number of
 * the line stands for it. Other keys are kept for templates where they are strings.
 */
#ifndef MPQ_MODEL_TASK_FILE_H
#define MPQ_MODEL_TASK_FILE_H

#include "base/err.h"
#include "base/pool.h"

#include <stddef.h>

enum mpq_task_kind { MPQ_TASK_ANY, MPQ_TASK_CHOICE, MPQ_TASK_GENERATE };

struct mpq_task_field {
    const char *key, *text;
};

struct mpq_task_item {
    size_t line; /* 1-based */
    const char *id, *prompt;
    /* choice */
    const char **choices;
    size_t n_choices, right;
    size_t *score_from; /* [n_choices] bytes */
    /* generation */
    const char *answer, *gold;
    const char **aliases;
    size_t n_aliases;
    /* every key whose value is a string */
    struct mpq_task_field *fields;
    size_t n_fields;
};

struct mpq_task_file {
    char *name; /* the path, for messages */
    enum mpq_task_kind kind;
    struct mpq_task_item *items; /* [n], n > 0 */
    size_t n, cap;
    struct mpq_pool strings;
};

/* Reads the first LIMIT items (0: all; what follows is not looked at) of PATH ("-":
 * standard input). All are of one kind: KIND, or under MPQ_TASK_ANY that of the first.
 * -1 with file and line of what is wrong. On success *out is the caller's to free. */
MPQ_MUST_CHECK int
mpq_task_file_open(struct mpq_task_file *out, const char *path, enum mpq_task_kind kind,
                   size_t limit, struct mpq_err *err);
/* The same from TEXT[n]. */
MPQ_MUST_CHECK int
mpq_task_file_parse(struct mpq_task_file *out, const char *text, size_t n,
                    const char *name, enum mpq_task_kind kind, size_t limit,
                    struct mpq_err *err);
void mpq_task_file_free(struct mpq_task_file *f); /* and makes it empty */
/* The text of KEY; NULL when the item has none. */
const char *mpq_task_item_field(const struct mpq_task_item *item, const char *key);

#endif
