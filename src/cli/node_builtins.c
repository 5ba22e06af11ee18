/* node_builtins.c - see node_builtins.h. Flags and dates are those of workerd's table of compatibility dates. */
#include "cli/node_builtins.h"

#define PREFIX "node:"

const struct node_builtin node_builtins[NODE_BUILTINS] = {
    { "assert", NULL, NULL, false },
    { "async_hooks", NULL, NULL, false },
    { "buffer", NULL, NULL, false },
    { "child_process", "enable_nodejs_child_process_module", "2026-03-17", false },
    { "cluster", "enable_nodejs_cluster_module", "2025-12-04", false },
    { "console", "enable_nodejs_console_module", "2025-09-21", false },
    { "constants", NULL, NULL, false },
    { "crypto", NULL, NULL, false },
    { "dgram", "enable_nodejs_dgram_module", "2026-01-29", false },
    { "diagnostics_channel", NULL, NULL, false },
    { "dns", NULL, NULL, false },
    { "domain", "enable_nodejs_domain_module", "2025-12-04", false },
    { "events", NULL, NULL, false },
    { "fs", "enable_nodejs_fs_module", "2025-09-15", false },
    { "http", "enable_nodejs_http_modules", "2025-08-15", false },
    { "http2", "enable_nodejs_http2_module", "2025-09-01", false },
    { "https", "enable_nodejs_http_modules", "2025-08-15", false },
    { "inspector", "enable_nodejs_inspector_module", "2026-01-29", false },
    { "module", NULL, NULL, false },
    { "net", NULL, NULL, false },
    { "os", "enable_nodejs_os_module", "2025-09-15", false },
    { "path", NULL, NULL, false },
    { "perf_hooks", "enable_nodejs_perf_hooks_module", "2026-03-17", false },
    { "process", NULL, NULL, false },
    { "punycode", "enable_nodejs_punycode_module", "2025-12-04", false },
    { "querystring", NULL, NULL, false },
    { "readline", "enable_nodejs_readline_module", "2026-03-17", false },
    { "repl", "enable_nodejs_repl_module", "2026-03-17", false },
    { "stream", NULL, NULL, false },
    { "string_decoder", NULL, NULL, false },
    { "sqlite", "enable_nodejs_sqlite_module", "2026-01-29", true },
    { "sys", NULL, NULL, false },
    { "timers", NULL, NULL, false },
    { "tls", NULL, NULL, false },
    { "trace_events", "enable_nodejs_trace_events_module", "2025-12-04", false },
    { "tty", "enable_nodejs_tty_module", "2026-03-17", false },
    { "url", NULL, NULL, false },
    { "util", NULL, NULL, false },
    { "v8", "enable_nodejs_v8_module", "2026-03-17", false },
    { "vm", "enable_nodejs_vm_module", "2025-10-01", false },
    { "wasi", "enable_nodejs_wasi_module", "2025-12-04", false },
    { "worker_threads", "enable_nodejs_worker_threads_module", "2026-03-17", false },
    { "zlib", NULL, NULL, false },
};

const struct node_builtin *node_builtin_of(struct slice import)
{
    if (!slice_starts(import, SLICE_LIT(PREFIX)))
        return NULL;
    struct slice rest = slice_from(import, sizeof(PREFIX) - 1), name = slice_cut(&rest, '/');
    for (size_t i = 0; i < NODE_BUILTINS; i++)
        if (slice_eq(name, slice_cstr(node_builtins[i].name)))
            return &node_builtins[i];
    return NULL;
}
