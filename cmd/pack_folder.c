/* mpq-pack: a folder as other programs load it, around its model.safetensors. */
#include "cli.h"
#include "pack_own.h"

#include "base/buf.h"
#include "model/hfconfig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
pack_folder_open(struct mpq_outdir **dir, struct mpq_out **model, struct mpq_err *err)
{
    if (!cli.output || !strcmp(cli.output, "-"))
        return mpq_fail(err, MPQ_EUSAGE, "-f writes a folder: takes -o DIR");
    if (mpq_outdir_open(dir, cli.output, err) < 0)
        return -1;
    if (mpq_outdir_file(*dir, "model.safetensors", model, err) < 0) {
        mpq_outdir_free(*dir);
        *dir = NULL;
        return -1;
    }
    return 0;
}

/* Files that are copied as they are where the source has them. */
static int
copy_file(const char *from, const char *name, struct mpq_outdir *dir,
          struct mpq_err *err)
{
    const size_t room = strlen(from) + strlen(name) + 2;
    char *path = malloc(room);
    struct mpq_map map;
    int rc = -1;

    if (!path)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", from);
    snprintf(path, room, "%s/%s", from, name);
    if (access(path, F_OK) < 0) {
        rc = errno == ENOENT ? 0 : mpq_fail_errno(err, "%s", path);
    } else if (mpq_map_open_file(&map, path, err) == 0) {
        rc = mpq_outdir_put(dir, name, map.data, (size_t)map.size, err);
        mpq_map_close(&map);
    }
    free(path);
    return rc;
}

static int
put_config(const struct pack_job *j, struct mpq_outdir *dir, struct mpq_err *err)
{
    struct mpq_buf text = { 0 };
    const char *config = j->file.unconvert.config.data;
    int rc = -1;

    if (!config && mpq_source_text(j->source, "config.json", &config, err) < 0)
        return -1;
    if (mpq_hfconfig_put(&j->file, config, "config.json", &text, err) == 0)
        rc = mpq_outdir_put(dir, "config.json", text.data, text.len, err);
    mpq_buf_free(&text);
    return rc;
}

int
pack_folder_finish(const struct pack_job *j, struct mpq_outdir *dir,
                   struct mpq_err *err)
{
    static const char *const others[] = { "special_tokens_map.json",
                                          "added_tokens.json", "vocab.json",
                                          "merges.txt", "tokenizer.model" };
    const char *file, *text, *from = mpq_source_dir(j->source);

    if (put_config(j, dir, err) < 0)
        goto fail;
    const struct mpq_unconvert *u = &j->file.unconvert;
    if (u->tokenizer.len &&
        (mpq_outdir_put(dir, "tokenizer.json", u->tokenizer.data, u->tokenizer.len,
                        err) < 0 ||
         mpq_outdir_put(dir, "tokenizer_config.json", u->tokenizer_config.data,
                        u->tokenizer_config.len, err) < 0))
        goto fail;
    if (mpq_source_keys(j->source) && !u->tokenizer.len)
        cli_note("%s: its tokenizer is none that can be written",
                 mpq_source_name(j->source));
    for (size_t i = 0; (file = mpq_source_text_file(i)); i++) {
        if (!strcmp(file, "config.json"))
            continue;
        if (mpq_source_text(j->source, file, &text, err) < 0 ||
            (text && mpq_outdir_put(dir, file, text, strlen(text), err) < 0))
            goto fail;
    }
    for (size_t i = 0; from && i < sizeof others / sizeof *others; i++)
        if (copy_file(from, others[i], dir, err) < 0)
            goto fail;
    return mpq_outdir_close(dir, err);
fail:
    mpq_outdir_free(dir);
    return -1;
}
