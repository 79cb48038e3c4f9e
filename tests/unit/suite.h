/* What every unit test includes. Tests run from the top folder: data lies in
 * tests/data, scratch files go to $TMPDIR. */
#ifndef MPQ_TESTS_SUITE_H
#define MPQ_TESTS_SUITE_H

#include "base/buf.h"

#include <check.h>

Suite *mpq_suite(void); /* the one suite of this program */

/* n * size bytes, zero, to be freed; the test fails when there are none. */
static inline void *
need(size_t n, size_t size)
{
    void *p = mpq_array(n, size);
    ck_assert_ptr_nonnull(p);
    return p;
}

#endif
