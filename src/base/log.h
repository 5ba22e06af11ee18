/*
 * log.h - lines on standard error, one write each, so lines of threads never mix.
 *
 * error: someone must act. warn: we coped, and the text says how. info: life cycle. debug: the rest.
 * Never log tokens, SQL parameters or authorisation headers. Any thread.
 */
#ifndef DIONE_BASE_LOG_H
#define DIONE_BASE_LOG_H

#include "base/attrs.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Lines above `level` are dropped. Default: LOG_WARN (a command); the server sets LOG_INFO. */
void log_set_level(enum log_level level);
void log_line(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
