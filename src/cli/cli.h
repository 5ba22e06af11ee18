/* cli.h - the program `dione` as a whole: what main() calls. */
#ifndef DIONE_CLI_CLI_H
#define DIONE_CLI_CLI_H

/* Runs the command that argv names; returns the process's exit code, 0 or 1. Main thread, once. */
int cli_main(int argc, char **argv);

#endif
