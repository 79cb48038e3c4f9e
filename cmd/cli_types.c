#include "cli.h"

#include "quant/codec.h"

#include <stdio.h>
#include <string.h>

int
cli_types(const char *option, const char *list, struct mpq_type types[CLI_MAX_TYPES],
          size_t *n, struct mpq_err *err)
{
    char word[MPQ_TYPE_NAME_MAX];

    for (*n = 0;; list++) {
        const size_t length = strcspn(list, ",");
        struct mpq_type *t = &types[*n];
        snprintf(word, sizeof word, "%.*s", (int)length, list);
        if (length >= sizeof word || mpq_type_parse(word, t) < 0 ||
            !mpq_codec_writes(*t))
            return mpq_fail(err, MPQ_EUSAGE,
                            "%s: '%.*s' is no type that can be written", option,
                            (int)(length < 80 ? length : 80), list);
        for (size_t i = 0; i < *n; i++)
            if (mpq_type_eq(types[i], *t))
                return mpq_fail(err, MPQ_EUSAGE, "%s: '%s' stands there twice", option,
                                word);
        if (++*n == CLI_MAX_TYPES)
            return mpq_fail(err, MPQ_EUSAGE, "%s: more than %d types", option,
                            CLI_MAX_TYPES - 1);
        list += length;
        if (!*list)
            return 0;
    }
}
