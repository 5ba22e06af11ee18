/* main.c - the program `dione`: everything it can do is a command of src/cli. */
#include "cli/cli.h"

int main(int argc, char **argv)
{
    return cli_main(argc, argv);
}
