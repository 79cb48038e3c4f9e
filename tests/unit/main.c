/* Every t_MODULE.c defines mpq_suite(); this runs it. */
#include "suite.h"

#include <stdlib.h>

int
main(void)
{
    SRunner *runner = srunner_create(mpq_suite());

    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
