/*
 * line_editor.h - lines typed at a terminal, with editing and a history that is kept.
 *
 * Ctrl-C drops the line, Ctrl-D on an empty line ends. Main thread, one editor at a time.
 */
#ifndef DIONE_CLI_LINE_EDITOR_H
#define DIONE_CLI_LINE_EDITOR_H

#include "base/slice.h"

struct line_editor;

/* With the history of $XDG_STATE_HOME/dione/history (~/.local/state/dione/history). NULL: no terminal here. */
struct line_editor *line_editor_new(void);
/* Writes the history, which only its owner may read. NULL is fine. */
void line_editor_free(struct line_editor *e);

enum line_result { LINE_TYPED, LINE_DROPPED, LINE_END };

/* Reads one line; `prompt` is borrowed. *ret_line has no newline at its end and lives until the next call. */
enum line_result line_editor_read(struct line_editor *e, const char *prompt, struct slice *ret_line);
/* What Up brings back; it may hold newlines. */
void line_editor_remember(struct line_editor *e, const char *text);

#endif
