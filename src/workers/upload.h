/*
 * upload.h - the multipart form of a script upload: checked, and made into the document and the files of a version.
 */
#ifndef DIONE_WORKERS_UPLOAD_H
#define DIONE_WORKERS_UPLOAD_H

#include "http/multipart.h"
#include "workers/workers.h"

enum {
    UPLOAD_MODULES_MAX_BYTES = 25 * 1024 * 1024, /* all modules of a Worker together, as they are */
    UPLOAD_BODY_MAX_BYTES = 96 * 1024 * 1024,    /* the form, which may carry source maps as well */
    UPLOAD_MODULES_MAX = 1000,
};

struct upload {
    struct slice worker;
    const struct worker *before; /* NULL: a new Worker */
    struct slice content_type, body;
    struct arena *arena;

    /* Filled by upload_read. */
    struct multipart form;
    const struct json *metadata;
    struct slice document; /* JSON, for workers_add_version */
    struct version_file *files;
    size_t n_files;
};

/*
 * FORM: the form or its metadata cannot be parsed. SCRIPTSIZE. SCRIPT and the codes of bindings.h: what it says is wrong.
 * Blocks.
 */
enum status upload_read(struct workers *w, struct upload *u, struct error *err) MUST_CHECK;

/* Its first step: the form's parts, by module, and the metadata. FORM. */
enum status upload_form_read(struct upload *u, struct error *err) MUST_CHECK;

#endif
