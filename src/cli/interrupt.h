/*
 * interrupt.h - Ctrl-C, so that a command tidies up before it ends.
 *
 * The first SIGINT or SIGTERM sets a flag and wakes blocking calls of the main thread; transfers and prompts
 * look at the flag and end with STATUS_STOPPING. The second one ends the process at once. Main thread.
 */
#ifndef DIONE_CLI_INTERRUPT_H
#define DIONE_CLI_INTERRUPT_H

#include "base/error.h"

#include <stdbool.h>

void interrupt_install(void);
bool interrupt_requested(void);
/* For a prompt that lives on after Ctrl-C. */
void interrupt_clear(void);
/* Fills err; returns STATUS_STOPPING. */
enum status interrupt_error(struct error *err);
/* Ends the process by the signal that was received, so the shell sees why. Returns when there was none. */
void interrupt_reraise(void);

#endif
