// What SQLite itself does with a workload: no network, no JSON, statements prepared once, one
// thread. It is the ceiling that a server on top of SQLite can be held against.
//
// Every result column is read, since a program that asks for rows looks at them.

#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <sqlite3.h>

#include "draw.h"
#include "histogram.h"

#define MAX_WORK 4
#define MAX_BIND 16

struct work {
    const char *sql;
    const char *bind[MAX_BIND];
    int bind_count;
    unsigned weight, times;
    uint64_t low, high; // range of {key}
    uint64_t rows;      // that one execution must give
    sqlite3_stmt *statement;
};

static struct {
    const char *path;
    double seconds, warmup;
    struct work works[MAX_WORK];
    unsigned work_count, weight_sum;
} options = { .seconds = 2, .warmup = 0.5 };

static sqlite3 *db;
static sqlite3_stmt *begin, *commit;
static struct histogram latency;
static volatile uint64_t sink; // keeps the reading of columns from being optimised away

static _Noreturn __attribute__((format(printf, 1, 2))) void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("inprocess: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(2);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static sqlite3_stmt *prepare(const char *sql)
{
    sqlite3_stmt *s;
    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s, NULL) != SQLITE_OK)
        die("%s: %s", sql, sqlite3_errmsg(db));
    return s;
}

static void bind(const struct work *w)
{
    for (int i = 0; i < w->bind_count; i++) {
        const char *text = w->bind[i];
        char *end;
        int rc;
        if (strcmp(text, "{key}") == 0)
            rc = sqlite3_bind_int64(w->statement, i + 1, (int64_t)draw_between(w->low, w->high));
        else if (strcmp(text, "{seq}") == 0)
            rc = sqlite3_bind_int64(w->statement, i + 1, (int64_t)draw_next());
        else {
            double number = strtod(text, &end);
            rc = *end ? sqlite3_bind_text(w->statement, i + 1, text, -1, SQLITE_STATIC)
                      : sqlite3_bind_double(w->statement, i + 1, number);
        }
        if (rc != SQLITE_OK)
            die("bind: %s", sqlite3_errmsg(db));
    }
}

static void read_columns(sqlite3_stmt *s)
{
    int columns = sqlite3_column_count(s);
    for (int i = 0; i < columns; i++) {
        switch (sqlite3_column_type(s, i)) {
        case SQLITE_INTEGER:
            sink += (uint64_t)sqlite3_column_int64(s, i);
            break;
        case SQLITE_FLOAT:
            sink += (uint64_t)sqlite3_column_double(s, i);
            break;
        case SQLITE_TEXT:
        case SQLITE_BLOB:
            sink += *sqlite3_column_text(s, i) + (uint64_t)sqlite3_column_bytes(s, i);
            break;
        default:
            break;
        }
    }
}

static void step_to_end(sqlite3_stmt *s, uint64_t rows_wanted)
{
    uint64_t rows = 0;
    int rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        rows++;
        read_columns(s);
    }
    if (rc != SQLITE_DONE)
        die("step: %s", sqlite3_errmsg(db));
    if (rows != rows_wanted)
        die("%" PRIu64 " rows instead of %" PRIu64 ": %s", rows, rows_wanted, sqlite3_sql(s));
    sqlite3_reset(s);
}

static void do_work(const struct work *w)
{
    if (w->times > 1)
        step_to_end(begin, 0);
    for (unsigned i = 0; i < w->times; i++) {
        bind(w);
        step_to_end(w->statement, w->rows);
    }
    if (w->times > 1)
        step_to_end(commit, 0);
}

static const struct work *pick_work(void)
{
    if (options.work_count == 1)
        return &options.works[0];
    unsigned dart = (unsigned)draw_between(0, options.weight_sum - 1);
    const struct work *w = options.works;
    while (dart >= w->weight)
        dart -= w++->weight;
    return w;
}

static void run_for(double seconds)
{
    uint64_t now = now_ns(), end = now + (uint64_t)(seconds * 1e9);
    while (now < end) {
        do_work(pick_work());
        uint64_t done = now_ns();
        histogram_add(&latency, done - now);
        now = done;
    }
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

// Not ru_maxrss, which a process inherits from whoever started it.
static long peak_kb(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    long kb = -1;
    while (f && kb < 0 && fgets(line, sizeof line, f))
        (void)sscanf(line, "VmHWM: %ld", &kb); // leaves kb alone on any other line
    if (kb < 0)
        die("/proc/self/status names no VmHWM");
    fclose(f);
    return kb;
}

// ---- options ----

static const char help[] =
    "inprocess --db FILE --sql SQL [options of this SQL] [--sql SQL ...] [options]\n"
    "  --seconds S   measured time (2)   --warmup S   uncounted time before it (0.5)\n"
    "of the --sql before:\n"
    "  --bind VALUE  next parameter: a number, a text, {key} or {seq}; may repeat\n"
    "  --keys LOW-HIGH   range of {key}  --rows N     rows each execution must give (0)\n"
    "  --times N     executions in one transaction (1)   --weight N   share among several (1)\n"
    "One JSON object on stdout.\n";

static struct work *last_work(void)
{
    if (options.work_count == 0)
        die("this option belongs after a --sql");
    return &options.works[options.work_count - 1];
}

static void add_work(const char *sql)
{
    if (options.work_count == MAX_WORK)
        die("at most %d --sql", MAX_WORK);
    options.works[options.work_count++] =
        (struct work){ .sql = sql, .weight = 1, .times = 1, .low = 1, .high = 1 };
}

static void add_bind(const char *text)
{
    struct work *w = last_work();
    if (w->bind_count == MAX_BIND)
        die("at most %d --bind", MAX_BIND);
    w->bind[w->bind_count++] = text;
}

static void parse_options(int argc, char **argv)
{
    static const struct option table[] = { { "db", 1, NULL, 'd' },
                                           { "sql", 1, NULL, 's' },
                                           { "bind", 1, NULL, 'b' },
                                           { "keys", 1, NULL, 'k' },
                                           { "rows", 1, NULL, 'r' },
                                           { "times", 1, NULL, 't' },
                                           { "weight", 1, NULL, 'W' },
                                           { "seconds", 1, NULL, 'S' },
                                           { "help", 0, NULL, 'h' },
                                           { "warmup", 1, NULL, 'w' },
                                           { 0 } };
    for (int o; (o = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        switch (o) {
        case 'd':
            options.path = optarg;
            break;
        case 's':
            add_work(optarg);
            break;
        case 'b':
            add_bind(optarg);
            break;
        case 'k':
            if (sscanf(optarg, "%" SCNu64 "-%" SCNu64, &last_work()->low, &last_work()->high) != 2)
                die("--keys: LOW-HIGH, not '%s'", optarg);
            break;
        case 'r':
            last_work()->rows = strtoull(optarg, NULL, 10);
            break;
        case 't':
            last_work()->times = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'W':
            last_work()->weight = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'S':
            options.seconds = strtod(optarg, NULL);
            break;
        case 'w':
            options.warmup = strtod(optarg, NULL);
            break;
        case 'h':
            fputs(help, stdout);
            exit(0);
        default:
            fputs(help, stderr);
            exit(2);
        }
    }
    if (optind < argc || !options.path || options.work_count == 0) {
        fputs(help, stderr);
        exit(2);
    }
    for (unsigned i = 0; i < options.work_count; i++)
        options.weight_sum += options.works[i].weight;
}

int main(int argc, char **argv)
{
    parse_options(argc, argv);
    draw_start();
    if (sqlite3_open_v2(options.path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK)
        die("%s: %s", options.path, sqlite3_errmsg(db));
    if (sqlite3_exec(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL", NULL, NULL, NULL) !=
        SQLITE_OK)
        die("%s", sqlite3_errmsg(db));
    begin = prepare("BEGIN IMMEDIATE");
    commit = prepare("COMMIT");
    for (unsigned i = 0; i < options.work_count; i++)
        options.works[i].statement = prepare(options.works[i].sql);

    run_for(options.warmup);
    latency = (struct histogram){ 0 };
    double cpu = cpu_seconds();
    uint64_t start = now_ns();
    run_for(options.seconds);
    double seconds = (double)(now_ns() - start) / 1e9;
    cpu = cpu_seconds() - cpu;

    double count = (double)latency.count;
    printf(
        "{\"connections\":1,\"seconds\":%.3f,\"requests\":%" PRIu64 ",\"errors\":0,\"rate\":%.1f,"
        "\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,\"mean_us\":%.1f,\"server_cpu_us\":%.2f,"
        "\"server_cpu\":%.3f,\"client_cpu\":0,\"peak_kb\":%ld,\"sqlite\":\"%s\"}\n",
        seconds, latency.count, count / seconds, histogram_us(&latency, 0.5),
        histogram_us(&latency, 0.99), (double)latency.max / 1e3, (double)latency.sum / count / 1e3,
        cpu * 1e6 / count, cpu / seconds, peak_kb(), sqlite3_libversion());

    for (unsigned i = 0; i < options.work_count; i++)
        sqlite3_finalize(options.works[i].statement);
    sqlite3_finalize(begin);
    sqlite3_finalize(commit);
    return sqlite3_close(db) == SQLITE_OK ? 0 : 2;
}
