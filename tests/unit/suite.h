/* What every unit test includes. Tests run from the top folder: data lies in
 * tests/data, scratch files go to $TMPDIR. */
#ifndef MPQ_TESTS_SUITE_H
#define MPQ_TESTS_SUITE_H

#include <check.h>

Suite *mpq_suite(void); /* the one suite of this program */

#endif
