/* The vault: what is sealed opens again, and only with the same key in the same place. */
#include "../testing.h"

#include "workers/vault.h"

#include <sys/stat.h>

static char dir[64];

static int setup(void **state UNUSED)
{
    unsetenv("DIONE_SECRETS_KEY_FILE");
    test_dir_make(dir);
    return 0;
}

static int teardown(void **state UNUSED)
{
    test_dir_remove(dir);
    return 0;
}

static void key_path(char ret[128])
{
    snprintf(ret, 128, "%s/secrets.key", dir);
}

static void a_secret_opens_again_after_a_restart(void **state UNUSED)
{
    struct buf sealed = { 0 }, plain = { 0 };
    struct error err;
    struct vault *v = vault_new(dir, false);

    assert_int_equal(vault_seal(v, SLICE_LIT("a/S"), SLICE_LIT("hush, hush"), &sealed, &err), STATUS_OK);
    vault_free(v);
    v = vault_new(dir, false);
    assert_null(memmem(sealed.ptr, sealed.len, "hush", 4));
    assert_int_equal(vault_unseal(v, SLICE_LIT("a/S"), buf_slice(&sealed), &plain, &err), STATUS_OK);
    CHECK_SLICE(buf_slice(&plain), "hush, hush");
    vault_free(v);
    buf_release(&sealed);
    buf_release(&plain);
}

static void the_empty_secret_and_a_long_one(void **state UNUSED)
{
    struct buf sealed = { 0 }, plain = { 0 };
    struct error err;
    struct vault *v = vault_new(dir, false);
    char *text = malloc(100000);

    memset(text, 'x', 100000);
    for (int i = 0; i < 2; i++) {
        struct slice want = slice_of(text, i ? 100000 : 0);
        buf_clear(&sealed);
        buf_clear(&plain);
        assert_int_equal(vault_seal(v, SLICE_LIT("c"), want, &sealed, &err), STATUS_OK);
        assert_int_equal(vault_unseal(v, SLICE_LIT("c"), buf_slice(&sealed), &plain, &err), STATUS_OK);
        assert_true(slice_eq(buf_slice(&plain), want));
    }
    free(text);
    vault_free(v);
    buf_release(&sealed);
    buf_release(&plain);
}

static void the_same_text_is_never_sealed_the_same_way(void **state UNUSED)
{
    struct buf one = { 0 }, two = { 0 };
    struct error err;
    struct vault *v = vault_new(dir, false);

    assert_int_equal(vault_seal(v, SLICE_LIT("c"), SLICE_LIT("text"), &one, &err), STATUS_OK);
    assert_int_equal(vault_seal(v, SLICE_LIT("c"), SLICE_LIT("text"), &two, &err), STATUS_OK);
    assert_false(slice_eq(buf_slice(&one), buf_slice(&two)));
    vault_free(v);
    buf_release(&one);
    buf_release(&two);
}

static void a_sealed_text_fits_no_other_place_and_survives_no_change(void **state UNUSED)
{
    struct buf sealed = { 0 }, plain = { 0 };
    struct error err;
    struct vault *v = vault_new(dir, false);

    assert_int_equal(vault_seal(v, SLICE_LIT("worker-a/S"), SLICE_LIT("x"), &sealed, &err), STATUS_OK);
    assert_int_equal(vault_unseal(v, SLICE_LIT("worker-b/S"), buf_slice(&sealed), &plain, &err), STATUS_CORRUPT);
    for (size_t i = 0; i < sealed.len; i++) {
        char was = sealed.ptr[i];
        sealed.ptr[i] = was == 'A' ? 'B' : 'A';
        plain.len = 0;
        if (was != '=')
            assert_int_not_equal(vault_unseal(v, SLICE_LIT("worker-a/S"), buf_slice(&sealed), &plain, &err), STATUS_OK);
        sealed.ptr[i] = was;
        assert_int_equal(plain.len, 0);
    }
    for (size_t len = 0; len < sealed.len; len++)
        assert_int_not_equal(vault_unseal(v, SLICE_LIT("worker-a/S"), slice_of(sealed.ptr, len), &plain, &err),
                             STATUS_OK);
    vault_free(v);
    buf_release(&sealed);
    buf_release(&plain);
}

static void another_key_opens_nothing_and_says_so(void **state UNUSED)
{
    struct buf sealed = { 0 }, other = { 0 }, plain = { 0 };
    struct error err;
    char path[128];
    struct vault *v = vault_new(dir, false);

    assert_int_equal(vault_seal(v, SLICE_LIT("c"), SLICE_LIT("x"), &sealed, &err), STATUS_OK);
    vault_free(v);
    key_path(path);
    assert_int_equal(unlink(path), 0);
    v = vault_new(dir, false);
    assert_int_equal(vault_seal(v, SLICE_LIT("c"), SLICE_LIT("y"), &other, &err), STATUS_OK); /* makes the other key */
    assert_int_equal(vault_unseal(v, SLICE_LIT("c"), buf_slice(&sealed), &plain, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.msg, "secrets.key"));
    vault_free(v);
    buf_release(&sealed);
    buf_release(&other);
    buf_release(&plain);
}

static void a_lost_key_is_missed_and_not_replaced(void **state UNUSED)
{
    struct buf sealed = { 0 }, out = { 0 };
    unsigned char mac[SHA256_BYTES];
    struct error err;
    char path[128];
    struct vault *v = vault_new(dir, false);

    assert_int_equal(vault_seal(v, SLICE_LIT("c"), SLICE_LIT("x"), &sealed, &err), STATUS_OK);
    vault_free(v);
    key_path(path);
    assert_int_equal(unlink(path), 0);
    v = vault_new(dir, true);
    assert_int_equal(vault_unseal(v, SLICE_LIT("c"), buf_slice(&sealed), &out, &err), STATUS_IO);
    assert_non_null(strstr(err.msg, "secrets.key is missing"));
    assert_int_equal(vault_seal(v, SLICE_LIT("c"), SLICE_LIT("y"), &out, &err), STATUS_IO);
    assert_int_equal(vault_sign(v, SLICE_LIT("text"), mac, &err), STATUS_IO);
    vault_free(v);
    v = vault_new(dir, false); /* what opens something never makes a key */
    assert_int_equal(vault_unseal(v, SLICE_LIT("c"), buf_slice(&sealed), &out, &err), STATUS_IO);
    assert_int_not_equal(access(path, F_OK), 0);
    vault_free(v);
    buf_release(&sealed);
    buf_release(&out);
}

static void the_key_file_is_private_and_a_damaged_one_is_refused(void **state UNUSED)
{
    unsigned char mac[SHA256_BYTES];
    struct stat info;
    struct error err;
    char path[128];
    struct vault *v = vault_new(dir, false);

    assert_int_equal(vault_sign(v, SLICE_LIT("text"), mac, &err), STATUS_OK);
    vault_free(v);
    key_path(path);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(truncate(path, 10), 0);
    v = vault_new(dir, false);
    assert_int_equal(vault_sign(v, SLICE_LIT("text"), mac, &err), STATUS_CORRUPT);
    vault_free(v);
}

static void a_named_key_file_must_be_there(void **state UNUSED)
{
    unsigned char mac[SHA256_BYTES];
    struct error err;
    struct vault *v = vault_new(dir, false);

    setenv("DIONE_SECRETS_KEY_FILE", "/nonexistent/key", 1);
    assert_int_equal(vault_sign(v, SLICE_LIT("text"), mac, &err), STATUS_IO);
    unsetenv("DIONE_SECRETS_KEY_FILE");
    vault_free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_secret_opens_again_after_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(the_empty_secret_and_a_long_one, setup, teardown),
        cmocka_unit_test_setup_teardown(the_same_text_is_never_sealed_the_same_way, setup, teardown),
        cmocka_unit_test_setup_teardown(a_sealed_text_fits_no_other_place_and_survives_no_change, setup, teardown),
        cmocka_unit_test_setup_teardown(another_key_opens_nothing_and_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lost_key_is_missed_and_not_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(the_key_file_is_private_and_a_damaged_one_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_named_key_file_must_be_there, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
