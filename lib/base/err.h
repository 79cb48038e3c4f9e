/*
 * Errors. The library never prints and never exits: a function that can fail
 * returns -1 (or NULL) and leaves a code and one whole line of text here.
 */
#ifndef MPQ_BASE_ERR_H
#define MPQ_BASE_ERR_H

#if defined(__GNUC__)
#define MPQ_MUST_CHECK   __attribute__((warn_unused_result))
#define MPQ_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define MPQ_MUST_CHECK
#define MPQ_PRINTF(f, a)
#endif

/* From 1 on, so that a failure without text is still one. */
enum mpq_code {
    MPQ_ESYS = 1, /* the system refused; the text carries strerror */
    MPQ_EDATA,    /* the input is broken */
    MPQ_ENOMEM,   /* out of memory */
    MPQ_ENOFIT,   /* the input is sound, but the answer is no (exit 3) */
    MPQ_EUSAGE,   /* the command line asks for what cannot be (exit 2) */
};

struct mpq_err {
    int code;       /* 0: none */
    char text[512]; /* one line, no full stop: file, place, fault, both numbers */
};

/*
 * Sets *err (which may be NULL) unless it already holds a failure: the first
 * cause is the one worth telling. Control bytes in the text become '?', since
 * names come from files; a text that is too long loses some of its middle. Returns -1,
 * so that a caller may `return mpq_fail()`.
 */
int mpq_fail(struct mpq_err *err, enum mpq_code code, const char *fmt, ...)
    MPQ_PRINTF(3, 4);

/* As mpq_fail with MPQ_ESYS; appends ": " and the text of errno. */
int mpq_fail_errno(struct mpq_err *err, const char *fmt, ...) MPQ_PRINTF(2, 3);

#endif
