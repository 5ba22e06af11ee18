/* d1.h - the commands of `dione d1`, one file each; d1.c lists them. */
#ifndef DIONE_CLI_D1_H
#define DIONE_CLI_D1_H

#include "cli/command.h"

extern const struct command d1_command;

extern const struct command d1_create_command;
extern const struct command d1_list_command;
extern const struct command d1_info_command;
extern const struct command d1_delete_command;
extern const struct command d1_execute_command;
extern const struct command d1_export_command;
extern const struct command d1_insights_command;
extern const struct command d1_profile_command;
extern const struct command migrations_command;

#endif
