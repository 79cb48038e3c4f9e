/* What a command reads must not be what it writes. */
#include "cli_own.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Is PATH the file that THIS is? */
static int
is_same_file(const struct stat *this, const char *path)
{
    struct stat st;

    return path && stat(path, &st) == 0 && st.st_dev == this->st_dev &&
           st.st_ino == this->st_ino;
}

/* Would writing PATH take the place of a regular file? Then that is *st. */
static int
takes_a_file(const char *path, struct stat *st)
{
    return path && strcmp(path, "-") != 0 && stat(path, st) == 0 &&
           S_ISREG(st->st_mode);
}

/* "-of-00003.gguf" of a part of a split model, else NULL. */
static const char *
tail_of_part(const char *name)
{
    enum { TAIL = sizeof "-of-00003.gguf" - 1 };
    const size_t n = strlen(name);

    return n > TAIL && strncmp(name + n - TAIL, "-of-", 4) == 0 &&
                   mpq_text_ends(name, ".gguf")
               ? name + n - TAIL
               : NULL;
}

static const char *
base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* Would what is called NAME be read with INPUT, a folder or not, from where INPUT lies?
 * A model is read with what stands beside it. */
static int
goes_with(const char *name, const char *input, int is_folder)
{
    const char *part = tail_of_part(input), *other = tail_of_part(name);

    if (is_folder)
        return mpq_text_ends(name, ".json") || mpq_text_ends(name, ".safetensors") ||
               mpq_text_ends(name, ".model");
    if (mpq_text_ends(input, ".safetensors"))
        return mpq_text_ends(name, ".json");
    return part && other && strcmp(part, other) == 0;
}

/* Is THIS, the file at PATH, read where INPUT is? */
static int
is_read(const struct stat *this, const char *path, const char *input)
{
    struct stat st;
    char beside[4096];

    if (is_same_file(this, input))
        return 1;
    if (!input || stat(input, &st) < 0)
        return 0;
    const char *name = base_name(path);
    const int is_folder = S_ISDIR(st.st_mode);
    const int n_folder =
        (int)(is_folder ? strlen(input) : (size_t)(base_name(input) - input));
    if (!goes_with(name, input, is_folder))
        return 0;
    const int n = snprintf(beside, sizeof beside, "%.*s%s%s", n_folder, input,
                           is_folder ? "/" : "", name);
    return n > 0 && (size_t)n < sizeof beside && is_same_file(this, beside);
}

static void
misuse_of_input(const char *option, const char *path)
{
    cli_misuse("%s: '%s' is read as well: write another file", option, path);
}

void
cli_refuse_input_of(const char *option, const char *path, const char *input)
{
    struct stat st;

    if (takes_a_file(path, &st) && is_read(&st, path, input))
        misuse_of_input(option, path);
}

void
cli_refuse_input(const char *option, const char *path)
{
    struct stat st;
    int found = 0;

    if (!takes_a_file(path, &st))
        return;
    for (size_t i = 0; cli_operand(i); i++)
        found |= is_read(&st, path, cli_operand(i));
    for (size_t i = 0; cli_option(i); i++) {
        const struct cli_opt *o = cli_option(i);
        const struct cli_list *l = o->type == CLI_LIST ? o->value : NULL;
        const char *value = o->type == CLI_STR ? *(const char **)o->value : NULL;
        found |= value && value != path && is_read(&st, path, value);
        for (size_t k = 0; l && k < l->n; k++)
            found |= is_read(&st, path, l->items[k]);
    }
    if (found)
        misuse_of_input(option, path);
}
