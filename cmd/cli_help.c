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

enum { WIDTH = 79, TEXT_COLUMN = 28 };

/* The argument, from column AT on; words parted by | go on below one another. Returns
 * the column after it. */
static int
print_arg(const char *arg, int at)
{
    const int left = at;

    while (*arg) {
        const int n = (int)strcspn(arg, "|") + (arg[strcspn(arg, "|")] == '|');
        if (at + n > WIDTH && at > left) {
            printf("\n%*s", left, "");
            at = left;
        }
        printf("%.*s", n, arg);
        at += n;
        arg += n;
    }
    return at;
}

static void
print_option(const struct cli_opt *o)
{
    int at = o->letter ? printf("  -%c, --%s", o->letter, o->name)
                       : printf("      --%s", o->name);

    if (o->arg)
        at = print_arg(o->arg, at + printf(" "));
    if (at > TEXT_COLUMN - 2) {
        putchar('\n');
        at = 0;
    }
    printf("%*s%s", TEXT_COLUMN - at, "", o->help);
    print_default(o);
    putchar('\n');
}

void
cli_print_help(void)
{
    const struct cli_tool *tool = cli_the_tool;

    printf("usage: %s [options] %s\n%s\n\n", tool->name, tool->operands, tool->summary);
    for (size_t i = 0; cli_option(i); i++)
        if (*cli_option(i)->name)
            print_option(cli_option(i));
    printf("\nexample:\n  %s\n", tool->example);
    exit(cli_finish(tool, NULL));
}
