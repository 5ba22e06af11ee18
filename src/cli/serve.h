/* serve.h - the command `dione serve`. */
#ifndef DIONE_CLI_SERVE_H
#define DIONE_CLI_SERVE_H

/* argv[0] is "serve". Returns the exit status. */
int serve_main(int argc, char **argv);

#endif
