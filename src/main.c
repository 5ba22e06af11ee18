/* main.c - the program `dione`: everything it can do is a command of src/cli. */
#include "cli/cli.h"

#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv)
{
    /* SQL's 'localtime' and 'utc' follow the process's zone; D1's is UTC, wherever it runs. */
    setenv("TZ", "UTC", 1);
    tzset();
    return cli_main(argc, argv);
}
