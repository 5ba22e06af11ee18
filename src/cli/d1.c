/* d1.c - the group `dione d1`. */
#include "cli/d1.h"

static const struct command *const commands[] = {
    &d1_create_command, &d1_list_command,    &d1_info_command,     &d1_delete_command,  &d1_execute_command,
    &d1_export_command, &migrations_command, &d1_insights_command, &d1_profile_command, NULL,
};

const struct command d1_command = {
    .name = "d1",
    .summary = "Work with databases",
    .subcommands = commands,
};
