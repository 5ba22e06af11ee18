/* The map of hot keys: what it may hold, what it must refuse, and that it stays as small as it was told. */
#include "../testing.h"

#include "kv/map.h"

#include <pthread.h>
#include <stdatomic.h>

static struct kv_value *value_of(const char *text)
{
    struct kv_value *v = kv_value_copy(slice_cstr(text), SLICE_NONE);

    assert_non_null(v);
    return v;
}

static void offer(struct kv_map *m, const struct kv_place *at, const char *text, bool want)
{
    struct kv_value *v = value_of(text);

    assert_int_equal(kv_map_offer(m, at, v), want);
    kv_value_unref(v);
}

/* As a reader that misses does it. */
static void fill(struct kv_map *m, uint64_t space, const char *key, const char *text)
{
    struct kv_place at;

    kv_value_unref(kv_map_get(m, space, slice_cstr(key), &at));
    offer(m, &at, text, true);
}

static void write_key(struct kv_map *m, struct kv_place *ret)
{
    (void)kv_map_write_begins(m, 1, SLICE_LIT("k"));
    kv_map_write_ends(m, 1, SLICE_LIT("k"), ret);
}

static void check(struct kv_map *m, uint64_t space, const char *key, const char *want)
{
    struct kv_place at;
    struct kv_value *v = kv_map_get(m, space, slice_cstr(key), &at);

    if (want) {
        assert_non_null(v);
        CHECK_SLICE(kv_value_bytes(v), want);
    } else {
        assert_null(v);
    }
    kv_value_unref(v);
}

static void what_was_offered_is_found(void **state UNUSED)
{
    struct kv_map *m = kv_map_new(1 << 20);

    check(m, 1, "a", NULL);
    fill(m, 1, "a", "one");
    fill(m, 1, "", "empty");
    fill(m, 2, "a", "another namespace's");
    check(m, 1, "a", "one");
    check(m, 1, "", "empty");
    check(m, 2, "a", "another namespace's");
    fill(m, 1, "a", "two");
    check(m, 1, "a", "two");
    assert_int_equal(kv_map_count(m).n, 3);
    kv_map_free(m);
}

static void a_reader_that_began_before_a_write_is_refused(void **state UNUSED)
{
    struct kv_map *m = kv_map_new(1 << 20);
    struct kv_place reader, writer;

    assert_null(kv_map_get(m, 1, SLICE_LIT("k"), &reader));
    write_key(m, &writer);
    offer(m, &reader, "old", false);
    check(m, 1, "k", NULL);
    offer(m, &writer, "new", true);
    offer(m, &reader, "old", false);
    check(m, 1, "k", "new");
    kv_map_free(m);
}

static void of_two_writes_only_the_later_may_offer(void **state UNUSED)
{
    struct kv_map *m = kv_map_new(1 << 20);
    struct kv_place first, second;

    write_key(m, &first);
    write_key(m, &second);
    offer(m, &first, "first", false);
    offer(m, &second, "second", true);
    offer(m, &first, "first", false);
    check(m, 1, "k", "second");
    write_key(m, &first);
    check(m, 1, "k", NULL);
    kv_map_free(m);
}

static void while_a_write_is_under_way_the_database_is_asked(void **state UNUSED)
{
    struct kv_map *m = kv_map_new(1 << 20);
    struct kv_place before, during, writer, other;

    fill(m, 1, "k", "old");
    kv_value_unref(kv_map_get(m, 1, SLICE_LIT("k"), &before));
    assert_true(kv_map_write_begins(m, 1, SLICE_LIT("k")));
    assert_null(kv_map_get(m, 1, SLICE_LIT("k"), &during));
    offer(m, &before, "old", false);
    offer(m, &during, "old", false);
    assert_false(kv_map_write_begins(m, 1, SLICE_LIT("k"))); /* another one of the same group */
    kv_map_write_ends(m, 1, SLICE_LIT("k"), &writer);
    offer(m, &writer, "new", false);
    kv_map_write_ends(m, 1, SLICE_LIT("k"), &other);
    offer(m, &writer, "new", false);
    offer(m, &during, "old", false);
    check(m, 1, "k", NULL);
    offer(m, &other, "newer", true);
    check(m, 1, "k", "newer");
    kv_map_free(m);
}

static void values_in_use_outlive_their_entry(void **state UNUSED)
{
    struct kv_map *m = kv_map_new(1 << 20);
    struct kv_place at;

    fill(m, 1, "k", "held");
    struct kv_value *v = kv_map_get(m, 1, SLICE_LIT("k"), &at);
    write_key(m, &at);
    kv_map_free(m);
    CHECK_SLICE(kv_value_bytes(v), "held");
    kv_value_unref(v);
}

static void memory_is_bounded_and_what_is_used_stays(void **state UNUSED)
{
    enum { LIMIT = 4 << 20 };
    struct kv_map *m = kv_map_new(LIMIT);
    char text[1000], key[32];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    fill(m, 1, "hot", "hot");
    for (int i = 0; i < 50000; i++) {
        snprintf(key, sizeof(key), "key-%d", i);
        fill(m, 1, key, text);
        if (i % 16 == 0)
            check(m, 1, "hot", "hot");
        assert_true(kv_map_count(m).bytes <= LIMIT);
    }
    assert_true(kv_map_count(m).n > 1000);
    check(m, 1, "key-49999", text);
    check(m, 1, "key-0", NULL);
    kv_map_free(m);
}

static void large_values_are_not_held(void **state UNUSED)
{
    struct kv_map *m = kv_map_new(64 << 20);
    struct kv_place at;
    struct kv_value *v = kv_value_new(KV_MAP_VALUE_MAX + 1, 0), *most = kv_value_new(KV_MAP_VALUE_MAX, 0);

    memset(most->bytes, 0, KV_MAP_VALUE_MAX);
    assert_null(kv_map_get(m, 1, SLICE_LIT("k"), &at));
    assert_false(kv_map_offer(m, &at, v));
    assert_true(kv_map_offer(m, &at, most));
    kv_value_unref(v);
    kv_value_unref(most);
    kv_map_free(m);
}

/* ---- readers beside a writer ---- */

enum { KEYS = 8, WRITES = 20000, READERS = 3 };

static struct {
    struct kv_map *map;
    _Atomic int stored[KEYS];       /* the database */
    _Atomic int acknowledged[KEYS]; /* what a client was told */
    _Atomic bool over;
    _Atomic int n_old;
} race;

static void number(int n, char ret[16])
{
    snprintf(ret, 16, "%d", n);
}

static int read_key(int k)
{
    struct slice key = slice_of("abcdefgh" + k, 1);
    struct kv_place at;
    struct kv_value *v = kv_map_get(race.map, 1, key, &at);
    char text[16];

    if (!v) {
        number(atomic_load(&race.stored[k]), text);
        v = value_of(text);
        (void)kv_map_offer(race.map, &at, v);
    }
    snprintf(text, sizeof(text), "%.*s", SLICE_FMT(kv_value_bytes(v)));
    kv_value_unref(v);
    return atoi(text);
}

static void *read_on(void *arg UNUSED)
{
    int seen[KEYS] = { 0 };

    for (unsigned i = 0; !atomic_load(&race.over); i++) {
        int k = (int)(i % KEYS), acknowledged = atomic_load(&race.acknowledged[k]);
        int now = read_key(k);
        if (now < acknowledged || now < seen[k])
            atomic_fetch_add(&race.n_old, 1);
        seen[k] = now;
    }
    return NULL;
}

static void no_reader_sees_less_than_was_acknowledged_or_than_before(void **state UNUSED)
{
    pthread_t readers[READERS];
    struct kv_place at;
    char text[16];

    race.map = kv_map_new(1 << 20);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_on, NULL), 0);
    for (int i = 1; i <= WRITES; i++) {
        int k = i % KEYS;
        (void)kv_map_write_begins(race.map, 1, slice_of("abcdefgh" + k, 1));
        atomic_store(&race.stored[k], i); /* the commit */
        kv_map_write_ends(race.map, 1, slice_of("abcdefgh" + k, 1), &at);
        atomic_store(&race.acknowledged[k], i);
        if (i % 3 == 0)
            continue;
        number(i, text);
        struct kv_value *v = value_of(text);
        (void)kv_map_offer(race.map, &at, v);
        kv_value_unref(v);
    }
    atomic_store(&race.over, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    kv_map_free(race.map);
    assert_int_equal(race.n_old, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_offered_is_found),
        cmocka_unit_test(a_reader_that_began_before_a_write_is_refused),
        cmocka_unit_test(of_two_writes_only_the_later_may_offer),
        cmocka_unit_test(while_a_write_is_under_way_the_database_is_asked),
        cmocka_unit_test(values_in_use_outlive_their_entry),
        cmocka_unit_test(memory_is_bounded_and_what_is_used_stays),
        cmocka_unit_test(large_values_are_not_held),
        cmocka_unit_test(no_reader_sees_less_than_was_acknowledged_or_than_before),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
