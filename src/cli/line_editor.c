/*
 * line_editor.c - see line_editor.h; libedit underneath.
 *
 * Ctrl-C is a key here, not a signal: libedit retries a read that a signal interrupted, so a handler could
 * not make it give the line up. With the terminal's signal keys off, Ctrl-Z becomes a key too.
 */
#include "cli/line_editor.h"

#include "cli/files.h"

#include <histedit.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { HISTORY_ENTRIES = 5000 };

struct line_editor {
    EditLine *edit;
    History *history;
    char *history_path; /* NULL: nowhere to keep it */
    const char *prompt;
    bool dropped;
};

static char *show_prompt(EditLine *edit)
{
    struct line_editor *e = NULL;

    el_get(edit, EL_CLIENTDATA, (void **)&e);
    return (char *)(uintptr_t)e->prompt; /* libedit's type lacks a const */
}

static unsigned char on_ctrl_c(EditLine *edit, int key)
{
    struct line_editor *e = NULL;

    (void)key;
    el_get(edit, EL_CLIENTDATA, (void **)&e);
    e->dropped = true;
    return CC_EOF;
}

static unsigned char on_ctrl_z(EditLine *edit, int key)
{
    (void)edit;
    (void)key;
    (void)raise(SIGTSTP); /* libedit's handler gives the terminal back first */
    return CC_REDISPLAY;
}

/* The path of the history file, its folder made; NULL when there is no home or it cannot be written. */
static char *find_history_path(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    struct error ignored;
    char *folder, *path;
    int n;

    if (state && state[0] == '/')
        n = asprintf(&folder, "%s/dione", state);
    else if (home && home[0] == '/')
        n = asprintf(&folder, "%s/.local/state/dione", home);
    else
        return NULL;
    if (n < 0)
        abort();
    /* A prompt without history is still a prompt. */
    bool made = folder_make(folder, 0700, &ignored) == STATUS_OK;
    n = asprintf(&path, "%s/history", folder);
    free(folder);
    if (n < 0)
        abort();
    if (made)
        return path;
    free(path);
    return NULL;
}

static void load_history(struct line_editor *e)
{
    HistEvent event;

    e->history = history_init();
    if (!e->history)
        abort();
    history(e->history, &event, H_SETSIZE, HISTORY_ENTRIES);
    history(e->history, &event, H_SETUNIQUE, 1);
    e->history_path = find_history_path();
    if (e->history_path)
        history(e->history, &event, H_LOAD, e->history_path); /* the first time there is none */
}

struct line_editor *line_editor_new(void)
{
    struct line_editor *e;

    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return NULL;
    e = calloc(1, sizeof(*e));
    if (!e)
        abort();
    if (!setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1)
        (void)setlocale(LC_CTYPE, "C.UTF-8"); /* the text is UTF-8, whatever the locale says */
    load_history(e);
    e->prompt = "";
    e->edit = el_init("dione", stdin, stdout, stderr);
    if (!e->edit) {
        line_editor_free(e);
        return NULL;
    }
    el_set(e->edit, EL_CLIENTDATA, e);
    el_set(e->edit, EL_PROMPT, show_prompt);
    el_set(e->edit, EL_HIST, history, e->history);
    el_set(e->edit, EL_EDITOR, "emacs");
    el_set(e->edit, EL_SIGNAL, 1); /* the terminal is set right for Ctrl-Z and for a change of its size */
    el_source(e->edit, NULL);      /* ~/.editrc */
    el_set(e->edit, EL_SETTY, "-d", "-isig", NULL);
    el_set(e->edit, EL_ADDFN, "dione-drop", "Drop the line", on_ctrl_c);
    el_set(e->edit, EL_ADDFN, "dione-suspend", "Stop the process", on_ctrl_z);
    el_set(e->edit, EL_BIND, "^C", "dione-drop", NULL);
    el_set(e->edit, EL_BIND, "^Z", "dione-suspend", NULL);
    return e;
}

void line_editor_free(struct line_editor *e)
{
    HistEvent event;

    if (!e)
        return;
    if (e->history && e->history_path)
        history(e->history, &event, H_SAVE, e->history_path); /* libedit makes it private */
    if (e->history)
        history_end(e->history);
    if (e->edit)
        el_end(e->edit); /* gives the terminal back as it was */
    free(e->history_path);
    free(e);
}

enum line_result line_editor_read(struct line_editor *e, const char *prompt, struct slice *ret_line)
{
    int n = 0;

    e->prompt = prompt;
    e->dropped = false;
    const char *line = el_gets(e->edit, &n);
    if (e->dropped) {
        fputs("^C\n", stdout);
        return LINE_DROPPED;
    }
    if (!line || n <= 0) {
        fputc('\n', stdout);
        return LINE_END;
    }
    struct slice s = slice_of(line, (size_t)n);
    if (s.ptr[s.len - 1] == '\n')
        s.len--;
    *ret_line = s;
    return LINE_TYPED;
}

void line_editor_remember(struct line_editor *e, const char *text)
{
    HistEvent event;

    history(e->history, &event, H_ENTER, text);
}
