/* shell.h - `dione shell`, the SQL prompt. */
#ifndef DIONE_CLI_SHELL_H
#define DIONE_CLI_SHELL_H

#include "cli/command.h"

extern const struct command shell_command;

#endif
