/* Events of a tail, as people see them. */
#include "cli/tail_print.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect(const char *json, const char *text)
{
    struct buf out = { 0 };
    struct json *event;
    struct arena arena;
    struct error err;

    arena_init(&arena, SIZE_MAX);
    if (json_parse(slice_cstr(json), JSON_STRICT, &arena, &event, &err) != STATUS_OK)
        fail_msg("%s", err.msg);
    tail_append_event(&out, event);
    assert_string_equal(out.ptr, text);
    buf_release(&out);
    arena_release(&arena);
}

static void a_request_shows_its_line_logs_and_exceptions(void **state)
{
    (void)state;
    expect("{\"outcome\":\"ok\",\"eventTimestamp\":1000,\"event\":{\"request\":{\"method\":\"GET\",\"url\":\"http://a/\"}},"
           "\"logs\":[{\"level\":\"log\",\"message\":[\"hello\",{\"a\":1},null]}],\"exceptions\":[]}",
           "GET http://a/ - Ok @ 1970-01-01 00:00:01\n  (log) hello {\"a\":1} null\n");
    expect("{\"outcome\":\"exception\",\"eventTimestamp\":0,\"event\":{\"request\":{\"method\":\"PUT\",\"url\":\"u\"}},"
           "\"exceptions\":[{\"name\":\"TypeError\",\"message\":\"boom\",\"stack\":\"  at x (y:1)\\n at z\"}]}",
           "PUT u - Exception Thrown @ 1970-01-01 00:00:00\n  TypeError: boom\n    at x (y:1)\n    at z\n");
}

static void crons_and_unknown_events_are_named(void **state)
{
    (void)state;
    expect("{\"outcome\":\"exceededCpu\",\"event\":{\"cron\":\"* * * * *\",\"scheduledTime\":60000}}",
           "\"* * * * *\" - Exceeded CPU Limit @ 1970-01-01 00:01:00\n");
    expect("{\"outcome\":\"odd\",\"event\":{\"x\":1},\"eventTimestamp\":0}", "Unknown Event - Unknown @ 1970-01-01 00:00:00\n");
    expect("{}", "Unknown Event - Unknown @ 1970-01-01 00:00:00\n");
}

static void nothing_in_an_event_steers_the_terminal(void **state)
{
    (void)state;
    expect("{\"event\":{\"request\":{\"method\":\"GET\",\"url\":\"\\u001b[2J\\u009b\\r\\u007f\"}},\"logs\":[{\"level\":\"log\","
           "\"message\":[\"a\\tb\\u0007\"]}]}",
           "GET \\u001b[2J\\u009b\\u000d\\u007f - Unknown @ 1970-01-01 00:00:00\n  (log) a\tb\\u0007\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_shows_its_line_logs_and_exceptions),
        cmocka_unit_test(crons_and_unknown_events_are_named),
        cmocka_unit_test(nothing_in_an_event_steers_the_terminal),
    };

    setenv("TZ", "UTC", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
