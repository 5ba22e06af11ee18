/* token.h - the commands of `dione token`. */
#ifndef DIONE_CLI_TOKEN_H
#define DIONE_CLI_TOKEN_H

#include "cli/command.h"

extern const struct command token_command;

#endif
