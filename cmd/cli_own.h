/* Shared by the files of cmd/cli*.c; not for the tools. */
#ifndef MPQ_CMD_CLI_OWN_H
#define MPQ_CMD_CLI_OWN_H

#include "cli.h"

#include <stdarg.h>

/* The tool that runs; set before anything else. */
extern const struct cli_tool *cli_the_tool;

/* The I-th option of all, the tool's own first, or NULL behind the last; those that the
 * tool does not take have an empty name. */
const struct cli_opt *cli_option(size_t i);
/* The I-th operand, or NULL behind the last. */
const char *cli_operand(size_t i);
/* One line "TOOL: text" on standard error. It may name what came from a file or an
 * argument: no control bytes reach the terminal. */
void cli_say(const char *fmt, va_list ap) MPQ_PRINTF(1, 0);
/* What is wrong with the command line, where help is; exit 2. */
_Noreturn void cli_misuse(const char *fmt, ...) MPQ_PRINTF(1, 2);
/* The same two lines, with the one that shows the operands between them. */
_Noreturn void cli_misuse_usage(const char *fmt, ...) MPQ_PRINTF(1, 2);
/* Ends the process: 0, or 1 when it could not be printed. */
_Noreturn void cli_print_help(void);
/* Standard streams, locale, signals; ARGV is that of main. */
void cli_start(char **argv);

#endif
