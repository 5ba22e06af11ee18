/* dev.h - `dione dev`: a Worker project served on this machine while it is being written. */
#ifndef DIONE_CLI_DEV_H
#define DIONE_CLI_DEV_H

#include "cli/command.h"

extern const struct command dev_command;

#endif
