/* config.c - see config.h. */
#include "workers/config.h"

#include "api/binding_token.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/json.h"
#include "d1/binding.h"
#include "kv/binding.h"
#include "workers/assets.h"

#include <stdio.h>

/* Cap'n Proto's string literal. */
static void write_text(struct buf *b, struct slice s)
{
    static const char hex[] = "0123456789abcdef";

    buf_append_char(b, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '"' || c == '\\') {
            buf_append_char(b, '\\');
            buf_append_char(b, (char)c);
        } else if (c < 0x20 || c == 0x7f) {
            const char escape[] = { '\\', 'x', hex[c >> 4], hex[c & 15] };
            buf_append(b, escape, sizeof(escape));
        } else {
            buf_append_char(b, (char)c);
        }
    }
    buf_append_char(b, '"');
}

static void write_embed(struct buf *b, struct slice path)
{
    buf_append_cstr(b, "embed ");
    write_text(b, path);
}

/* ---- the Worker ---- */

static const char *const module_fields[] = {
    [MODULE_ES] = "esModule", [MODULE_COMMON_JS] = "commonJsModule",
    [MODULE_TEXT] = "text",   [MODULE_DATA] = "data",
    [MODULE_WASM] = "wasm",   [MODULE_JSON] = "json",
};

/* Loads the script and says what it exports, so that a deploy can name its handlers. */
static const char probe_script[] =
    "const names = (o) => { const found = new Set(); for (; o && o !== Object.prototype; o = Object.getPrototypeOf(o))"
    " for (const n of Object.getOwnPropertyNames(o)) if (typeof o[n] === 'function') found.add(n);"
    " return [...found].filter((n) => n !== 'constructor' && /^[a-z]/.test(n)); };"
    "export default { fetch() { const d = script.default; return Response.json({"
    " handlers: names(typeof d === 'function' ? d.prototype : d),"
    " entrypoints: Object.keys(script).filter((n) => n !== 'default') }); } };";

static void write_probe(struct buf *b, const struct worker_spec *spec)
{
    struct buf code = { 0 };

    buf_append_cstr(&code, "import * as script from ");
    /* From the root: the main module may be in a folder. */
    struct buf specifier = { 0 };
    buf_printf(&specifier, "./%.*s", SLICE_FMT(spec->modules[0].name));
    json_write_text(&code, buf_slice(&specifier));
    buf_release(&specifier);
    buf_append_cstr(&code, ";");
    buf_append_cstr(&code, probe_script);
    buf_append_cstr(b, "(name = \"dione-probe.js\", esModule = ");
    write_text(b, buf_slice(&code));
    buf_append_cstr(b, "),\n    ");
    buf_release(&code);
}

static void write_modules(struct buf *b, const struct worker_spec *spec, bool probe)
{
    if (spec->is_service_worker) {
        buf_append_cstr(b, "  serviceWorkerScript = ");
        write_embed(b, spec->modules[0].path);
        buf_append_cstr(b, ",\n");
        return;
    }
    buf_append_cstr(b, "  modules = [\n    ");
    if (probe)
        write_probe(b, spec);
    for (size_t i = 0; i < spec->n_modules; i++) {
        const struct worker_module *m = &spec->modules[i];
        buf_append_cstr(b, i ? ",\n    (name = " : "(name = ");
        write_text(b, m->name);
        buf_printf(b, ", %s = ", module_fields[m->kind]);
        write_embed(b, m->path);
        buf_append_cstr(b, ")");
    }
    buf_append_cstr(b, "],\n");
}

static void write_service_binding(struct buf *b, const struct worker_spec *spec, const struct worker_binding *binding,
                                  size_t i)
{
    if (!slice_eq(binding->value, spec->name)) {
        buf_printf(b, "service = \"binding-%zu\"", i);
        return;
    }
    buf_append_cstr(b, "service = (name = \"main\"");
    if (binding->entrypoint.len) {
        buf_append_cstr(b, ", entrypoint = ");
        write_text(b, binding->entrypoint);
    }
    if (binding->props.len) {
        buf_append_cstr(b, ", props = (json = ");
        write_text(b, binding->props);
        buf_append_char(b, ')');
    }
    buf_append_char(b, ')');
}

static void write_version(struct buf *b, const struct worker_spec *spec)
{
    struct buf json = { 0 };
    char when[CLOCK_ISO_LEN + 1];

    clock_iso(spec->version_created_ms, when);
    buf_append_cstr(&json, "{\"id\":");
    json_write_text(&json, spec->version_id);
    buf_append_cstr(&json, ",\"tag\":");
    json_write_text(&json, spec->version_tag);
    buf_append_cstr(&json, ",\"timestamp\":");
    json_write_cstr(&json, when);
    buf_append_char(&json, '}');
    buf_append_cstr(b, "json = ");
    write_text(b, buf_slice(&json));
    buf_release(&json);
}

static const char d1_script[] =
#include "workers/js/d1.js.inc"
    ;

/* D1's API in JavaScript, for the inside of workerd. */
static void write_extensions(struct buf *b)
{
    buf_append_cstr(b, "  extensions = [(modules = [(name = \"dione:d1\", internal = true, esModule = ");
    write_text(b, slice_cstr(d1_script));
    buf_append_cstr(b, ")])],\n");
}

static void write_d1(struct buf *b, size_t i)
{
    buf_printf(b,
               "wrapped = (moduleName = \"dione:d1\", innerBindings = [(name = \"fetcher\", "
               "service = \"binding-%zu\")])",
               i);
}

static void write_binding(struct buf *b, const struct worker_spec *spec, size_t i)
{
    const struct worker_binding *binding = &spec->bindings[i];

    buf_append_cstr(b, "    (name = ");
    write_text(b, binding->name);
    buf_append_cstr(b, ", ");
    switch (binding->kind) {
    case BINDING_TEXT:
        buf_append_cstr(b, "text = ");
        write_text(b, binding->value);
        break;
    case BINDING_JSON:
        buf_append_cstr(b, "json = ");
        write_text(b, binding->value);
        break;
    case BINDING_D1:
        write_d1(b, i);
        break;
    case BINDING_KV:
        buf_printf(b, "kvNamespace = \"binding-%zu\"", i);
        break;
    case BINDING_SERVICE:
        write_service_binding(b, spec, binding, i);
        break;
    case BINDING_ASSETS:
        buf_printf(b, "service = \"binding-%zu\"", i);
        break;
    case BINDING_VERSION_METADATA:
        write_version(b, spec);
        break;
    case BINDING_WASM:
        buf_append_cstr(b, "wasmModule = ");
        write_embed(b, binding->value);
        break;
    case BINDING_DATA:
        buf_append_cstr(b, "data = ");
        write_embed(b, binding->value);
        break;
    case BINDING_TEXT_FILE:
        buf_append_cstr(b, "text = ");
        write_embed(b, binding->value);
        break;
    }
    buf_append_cstr(b, "),\n");
}

static void write_compatibility(struct buf *b, const struct worker_spec *spec)
{
    buf_append_cstr(b, "  compatibilityDate = ");
    write_text(b, spec->compatibility_date);
    buf_append_cstr(b, ",\n  compatibilityFlags = [");
    for (size_t i = 0; i < spec->n_compatibility_flags; i++) {
        buf_append_cstr(b, i ? ", " : "");
        write_text(b, spec->compatibility_flags[i]);
    }
    buf_append_cstr(b, "],\n");
}

static void write_worker(struct buf *b, const struct worker_spec *spec, const struct config_options *opt)
{
    buf_append_cstr(b, "const mainWorker :Workerd.Worker = (\n");
    write_modules(b, spec, opt->probe);
    write_compatibility(b, spec);
    buf_append_cstr(b, "  bindings = [\n");
    for (size_t i = 0; i < spec->n_bindings; i++)
        write_binding(b, spec, i);
    buf_append_cstr(b, "  ],\n  cacheApiOutbound = \"cache\",\n");
    if (opt->tail_mark)
        buf_append_cstr(b, "  tails = [\"tail\"],\n");
    buf_append_cstr(b, ");\n");
}

/* ---- what it talks to ---- */

/* A server of ours that knows by this header what is meant. token NULL: the one for just this. */
static void write_resource(struct buf *b, size_t i, const char *address, const char *token, const char *key,
                           const char *header, struct slice value)
{
    char own[BINDING_TOKEN_LEN + 1];

    if (!token) {
        binding_token(key, header, value, own);
        token = own;
    }
    buf_printf(b, "    (name = \"binding-%zu\", external = (address = ", i);
    write_text(b, slice_cstr(address));
    buf_printf(b, ", http = (injectRequestHeaders = [(name = \"%s\", value = ", header);
    write_text(b, value);
    buf_append_cstr(b, "), (name = \"Authorization\", value = ");
    struct buf bearer = { 0 };
    buf_printf(&bearer, "Bearer %s", token);
    write_text(b, buf_slice(&bearer));
    buf_release(&bearer);
    buf_append_cstr(b, ")]))),\n");
}

void config_worker_socket(const char *run_dir, struct slice name, struct slice entrypoint, char ret[CONFIG_SOCKET_MAX])
{
    char digest[SHA256_HEX_LEN + 1];
    struct buf text = { 0 };

    buf_printf(&text, "%.*s.%.*s", SLICE_FMT(name), SLICE_FMT(entrypoint)); /* a Worker's name has no dot */
    sha256_hex(buf_slice(&text), digest);
    buf_release(&text);
    snprintf(ret, CONFIG_SOCKET_MAX, "%s/w-%.32s", run_dir, digest);
}

static void write_other_worker(struct buf *b, const struct config_options *opt, size_t i,
                               const struct worker_binding *binding)
{
    char path[CONFIG_SOCKET_MAX];
    struct buf address = { 0 };

    config_worker_socket(opt->run_dir, binding->value, binding->entrypoint, path);
    buf_printf(&address, "unix:%s", path);
    buf_printf(b, "    (name = \"binding-%zu\", external = (address = ", i);
    write_text(b, buf_slice(&address));
    buf_append_cstr(b, ", http = (capnpConnectHost = \"" CONFIG_RPC_HOST "\", cfBlobHeader = \"" CONFIG_CF_HEADER
                       "\"))),\n");
    buf_release(&address);
}

static void write_binding_service(struct buf *b, const struct worker_spec *spec, const struct config_options *opt,
                                  size_t i)
{
    const struct worker_binding *binding = &spec->bindings[i];

    switch (binding->kind) {
    case BINDING_D1:
        write_resource(b, i, opt->binding_address, opt->binding_token, opt->binding_key, D1_BINDING_HEADER,
                       binding->value);
        break;
    case BINDING_KV:
        write_resource(b, i, opt->binding_address, opt->binding_token, opt->binding_key, KV_BINDING_HEADER,
                       binding->value);
        break;
    case BINDING_ASSETS:
        write_resource(b, i, opt->assets_address, NULL, opt->binding_key, ASSETS_HEADER, spec->assets_id);
        break;
    case BINDING_SERVICE:
        if (!slice_eq(binding->value, spec->name))
            write_other_worker(b, opt, i, binding);
        break;
    case BINDING_TEXT:
    case BINDING_JSON:
    case BINDING_VERSION_METADATA:
    case BINDING_WASM:
    case BINDING_DATA:
    case BINDING_TEXT_FILE:
        break;
    }
}

/* A cache that never has anything: right for every program, since a cache may forget. */
static const char cache_worker[] =
    "const cacheWorker :Workerd.Worker = (\n"
    "  modules = [(name = \"cache.js\", esModule = \"export default { async fetch(request) {"
    " if (request.method === 'PUT') { await request.body?.pipeTo(new WritableStream());"
    " return new Response(null, { status: 204 }); }"
    " return new Response(null, { status: request.method === 'PURGE' ? 404 : 504,"
    " headers: { 'CF-Cache-Status': 'MISS' } }); } };\")],\n"
    "  compatibilityDate = \"2025-01-01\",\n);\n";

/* Writes each batch of trace items as one line on standard output, which the supervisor reads. */
static void write_tail_worker(struct buf *b, const char *mark)
{
    buf_append_cstr(b, "const tailWorker :Workerd.Worker = (\n"
                       "  modules = [(name = \"tail.js\", esModule = \"export default { tail(events, env) {"
                       " console.log(env.MARK + JSON.stringify(events)); } };\")],\n"
                       "  compatibilityDate = \"2025-01-01\",\n"
                       "  bindings = [(name = \"MARK\", text = ");
    write_text(b, slice_cstr(mark));
    buf_append_cstr(b, ")],\n);\n");
}

/*
 * Calls the Worker's `scheduled`. Stock workerd delivers that event only from another Worker of the same process that has
 * this flag, which is why the processes run with --experimental; flags.c keeps the Workers themselves from such flags.
 */
static const char cron_worker[] =
    "const cronWorker :Workerd.Worker = (\n"
    "  modules = [(name = \"cron.js\", esModule = \"export default { async fetch(request, env) {"
    " const { cron, time } = await request.json();"
    " return Response.json(await env.MAIN.scheduled({ cron, scheduledTime: new Date(time) })); } };\")],\n"
    "  compatibilityDate = \"2025-01-01\",\n"
    "  compatibilityFlags = [\"service_binding_extra_handlers\"],\n"
    "  bindings = [(name = \"MAIN\", service = \"main\")],\n);\n";

#define SOCKET_HTTP \
    "http = (capnpConnectHost = \"" CONFIG_RPC_HOST "\", cfBlobHeader = \"" CONFIG_CF_HEADER \
    "\", forwardedProtoHeader = \"X-Forwarded-Proto\")"

static void write_sockets(struct buf *b, const struct config_options *opt)
{
    buf_append_cstr(b, "  sockets = [(name = \"http\", " SOCKET_HTTP ", service = \"main\"),\n"
                       "    (name = \"cron\", http = (), service = \"cron\")");
    for (size_t i = 0; i < opt->n_entrypoints; i++) {
        buf_printf(b, ",\n    (name = \"entry-%zu\", " SOCKET_HTTP ", service = (name = \"main\", entrypoint = ", i);
        write_text(b, opt->entrypoints[i]);
        buf_append_cstr(b, "))");
    }
    buf_append_cstr(b, "],\n");
}

void config_write(struct buf *b, const struct worker_spec *spec, const struct config_options *opt)
{
    buf_append_cstr(b, "using Workerd = import \"/workerd/workerd.capnp\";\n"
                       "const config :Workerd.Config = (\n"
                       "  services = [\n"
                       "    (name = \"main\", worker = .mainWorker),\n"
                       "    (name = \"cache\", worker = .cacheWorker),\n"
                       "    (name = \"cron\", worker = .cronWorker),\n");
    if (opt->tail_mark)
        buf_append_cstr(b, "    (name = \"tail\", worker = .tailWorker),\n");
    for (size_t i = 0; i < spec->n_bindings; i++)
        write_binding_service(b, spec, opt, i);
    buf_printf(
        b, "    (name = \"internet\", network = (allow = [\"public\"%s], tlsOptions = (trustBrowserCas = true))),\n",
        opt->allow_private ? ", \"private\"" : "");
    buf_append_cstr(b, "  ],\n");
    write_extensions(b);
    write_sockets(b, opt);
    buf_append_cstr(b, ");\n");
    write_worker(b, spec, opt);
    buf_append_cstr(b, cache_worker);
    buf_append_cstr(b, cron_worker);
    if (opt->tail_mark)
        write_tail_worker(b, opt->tail_mark);
}

void config_write_flags_only(struct buf *b, const struct worker_spec *spec)
{
    buf_append_cstr(b, "using Workerd = import \"/workerd/workerd.capnp\";\n"
                       "const config :Workerd.Config = (\n"
                       "  services = [(name = \"main\", worker = .mainWorker)],\n"
                       "  sockets = [(name = \"http\", http = (), service = \"main\"),\n"
                       "    (name = \"cron\", http = (), service = \"main\")],\n);\n"
                       "const mainWorker :Workerd.Worker = (\n"
                       "  modules = [(name = \"empty.js\", esModule = \"export default { fetch() {} }\")],\n");
    write_compatibility(b, spec);
    buf_append_cstr(b, ");\n");
}
