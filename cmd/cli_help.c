/* --help: from the option table, with the defaults as they stand. */
#include "cli.h"

#include "cli_own.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
print_default(const struct cli_opt *o)
{
    const char *s;

    switch (o->type) {
    case CLI_FLAG:
    case CLI_LIST:
        break;
    case CLI_STR:
        s = *(const char **)o->value;
        if (s)
            printf(" [%s]", s);
        break;
    case CLI_CHOICE:
        s = o->arg;
        for (int i = *(int *)o->value; i > 0; i--)
            s += strcspn(s, "|") + 1;
        printf(" [%.*s]", (int)strcspn(s, "|"), s);
        break;
    case CLI_U64:
    case CLI_BYTES:
        if (*(uint64_t *)o->value)
            printf(" [%" PRIu64 "]", *(uint64_t *)o->value);
        break;
    case CLI_DOUBLE:
        if (*(double *)o->value != 0)
            printf(" [%g]", *(double *)o->value);
        break;
    }
}

void
cli_print_help(void)
{
    const struct cli_tool *tool = cli_the_tool;

    printf("usage: %s [options] %s\n%s\n\n", tool->name, tool->operands, tool->summary);
    for (size_t i = 0; cli_option(i); i++) {
        const struct cli_opt *o = cli_option(i);
        char left[96];
        if (!*o->name)
            continue;
        int n = o->letter
                    ? snprintf(left, sizeof left, "  -%c, --%s", o->letter, o->name)
                    : snprintf(left, sizeof left, "      --%s", o->name);
        if (o->arg && n > 0 && (size_t)n < sizeof left)
            snprintf(left + n, sizeof left - (size_t)n, " %s", o->arg);
        if (strlen(left) > 26)
            printf("%s\n%-28s%s", left, "", o->help);
        else
            printf("%-28s%s", left, o->help);
        print_default(o);
        putchar('\n');
    }
    printf("\nexample:\n  %s\n", tool->example);
    exit(cli_finish(tool, NULL));
}
