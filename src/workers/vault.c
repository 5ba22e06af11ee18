/* vault.c - see vault.h. */
#include "workers/vault.h"

#include "base/base64.h"
#include "base/ids.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEY_BYTES = 32, KEY_HEX = 2 * KEY_BYTES, NONCE_BYTES = 12, TAG_BYTES = 16, SEAL_VERSION = 1 };

struct vault {
    const char *dir;
    bool must_exist;
    pthread_mutex_t lock; /* guards what follows */
    bool loaded;
    unsigned char key[KEY_BYTES];
    unsigned char sign_key[SHA256_BYTES];
};

struct vault *vault_new(const char *dir, bool must_exist)
{
    struct vault *v = calloc(1, sizeof(*v));

    if (!v)
        return NULL;
    v->dir = dir;
    v->must_exist = must_exist;
    pthread_mutex_init(&v->lock, NULL);
    return v;
}

void vault_free(struct vault *v)
{
    if (!v)
        return;
    pthread_mutex_destroy(&v->lock);
    OPENSSL_cleanse(v, sizeof(*v));
    free(v);
}

/* ---- the key file ---- */

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* read from, or fsync has reported it */
}

static bool hex_decode(struct slice text, unsigned char ret[KEY_BYTES])
{
    if (text.len != KEY_HEX)
        return false;
    for (size_t i = 0; i < KEY_HEX; i++) {
        char c = text.ptr[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return false;
        ret[i / 2] = (unsigned char)(i % 2 ? ret[i / 2] << 4 | digit : digit);
    }
    return true;
}

static enum status read_key(int fd, const char *path, unsigned char ret[KEY_BYTES], struct error *err)
{
    char text[KEY_HEX + 16];
    struct stat info;
    ssize_t n = read(fd, text, sizeof(text));

    if (n < 0 || fstat(fd, &info) != 0)
        return error_errno(err, errno, "cannot read %s", path);
    if (info.st_mode & 077)
        log_line(LOG_WARN, "%s can be read by others: chmod 600 it", path);
    bool good = hex_decode(slice_trim(slice_of(text, (size_t)n)), ret);
    OPENSSL_cleanse(text, sizeof(text));
    if (!good)
        return error_set(err, STATUS_CORRUPT, 0,
                         "%s holds no key of %d hexadecimal digits; put the one back that was there: without it the "
                         "Workers' secrets cannot be read",
                         path, KEY_HEX);
    return STATUS_OK;
}

/* Under another name first, so that a crash never leaves an empty key. */
static enum status make_key(struct vault *v, const char *path, unsigned char ret[KEY_BYTES], struct error *err)
{
    char temporary[4096 + 8], line[KEY_HEX + 2];

    random_bytes(ret, KEY_BYTES);
    hex_encode(ret, KEY_BYTES, line);
    line[KEY_HEX] = '\n';
    snprintf(temporary, sizeof(temporary), "%s.new", path);
    (void)unlink(temporary); /* what a crash has left; usually nothing */
    int fd CLEANUP(close_fd) = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_errno(err, errno, "cannot create %s", path);
    ssize_t n = write(fd, line, KEY_HEX + 1);
    OPENSSL_cleanse(line, sizeof(line));
    enum status st = STATUS_OK;
    if (n != KEY_HEX + 1 || fsync(fd) != 0)
        st = error_errno(err, n >= 0 && n != KEY_HEX + 1 ? ENOSPC : errno, "cannot write %s", path);
    else if (rename(temporary, path) != 0)
        st = error_errno(err, errno, "cannot create %s", path);
    if (st != STATUS_OK) {
        (void)unlink(temporary); /* the error above is the one to report */
        return st;
    }
    int dir_fd CLEANUP(close_fd) = open(v->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir_fd >= 0 && fsync(dir_fd) == 0 ? STATUS_OK : error_errno(err, errno, "cannot sync %s", v->dir);
}

static enum status missing(const char *path, struct error *err)
{
    return error_set(err, STATUS_IO, 0,
                     "%s is missing, and Workers have secrets that it has sealed: put it back, or delete those Workers "
                     "and restart",
                     path);
}

static enum status load_key(struct vault *v, bool may_make, struct error *err)
{
    const char *chosen = getenv("DIONE_SECRETS_KEY_FILE");
    char path[4096];
    enum status st;

    if (chosen && *chosen)
        snprintf(path, sizeof(path), "%s", chosen);
    else
        snprintf(path, sizeof(path), "%s/secrets.key", v->dir);
    int fd CLEANUP(close_fd) = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        st = read_key(fd, path, v->key, err);
    else if (errno == ENOENT && !(chosen && *chosen))
        st = may_make && !v->must_exist ? make_key(v, path, v->key, err) : missing(path, err);
    else
        st = error_set(err, STATUS_IO, errno, "cannot open %s: %s", path, strerror(errno));
    if (st == STATUS_OK &&
        !HMAC(EVP_sha256(), v->key, KEY_BYTES, (const unsigned char *)"upload tokens", 13, v->sign_key, NULL))
        st = error_set(err, STATUS_INTERNAL, 0, "OpenSSL: HMAC failed");
    v->loaded = st == STATUS_OK;
    return st;
}

static enum status need_key(struct vault *v, bool may_make, struct error *err)
{
    pthread_mutex_lock(&v->lock);
    enum status st = v->loaded ? STATUS_OK : load_key(v, may_make, err);
    pthread_mutex_unlock(&v->lock);
    return st;
}

/* ---- sealing ---- */

static void free_cipher(EVP_CIPHER_CTX **c)
{
    EVP_CIPHER_CTX_free(*c);
}

/* Appends nonce, ciphertext and tag. */
static bool encrypt(const struct vault *v, struct slice context, struct slice plain, struct buf *to)
{
    EVP_CIPHER_CTX *c CLEANUP(free_cipher) = EVP_CIPHER_CTX_new();
    unsigned char nonce[NONCE_BYTES], tag[TAG_BYTES];
    int n;

    random_bytes(nonce, sizeof(nonce));
    buf_append(to, nonce, sizeof(nonce));
    if (!c || !buf_try_reserve(to, plain.len + TAG_BYTES))
        return false;
    unsigned char *out = (unsigned char *)to->ptr + to->len;
    if (EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, v->key, nonce) != 1 ||
        EVP_EncryptUpdate(c, NULL, &n, (const unsigned char *)context.ptr, (int)context.len) != 1 ||
        EVP_EncryptUpdate(c, out, &n, (const unsigned char *)(plain.ptr ? plain.ptr : ""), (int)plain.len) != 1 ||
        EVP_EncryptFinal_ex(c, out + n, &n) != 1 || EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, tag) != 1)
        return false;
    to->len += plain.len;
    buf_append(to, tag, sizeof(tag));
    return !to->overflowed;
}

static bool decrypt(const struct vault *v, struct slice context, struct slice sealed, struct buf *to)
{
    EVP_CIPHER_CTX *c CLEANUP(free_cipher) = EVP_CIPHER_CTX_new();
    const unsigned char *p = (const unsigned char *)sealed.ptr;
    unsigned char tag[TAG_BYTES];
    int n;

    if (!c || sealed.len < 1 + NONCE_BYTES + TAG_BYTES || p[0] != SEAL_VERSION)
        return false;
    size_t len = sealed.len - 1 - NONCE_BYTES - TAG_BYTES;
    if (!buf_try_reserve(to, len + 1))
        return false;
    unsigned char *out = (unsigned char *)to->ptr + to->len;
    memcpy(tag, p + sealed.len - TAG_BYTES, TAG_BYTES);
    if (EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, v->key, p + 1) != 1 ||
        EVP_DecryptUpdate(c, NULL, &n, (const unsigned char *)context.ptr, (int)context.len) != 1 ||
        EVP_DecryptUpdate(c, out, &n, p + 1 + NONCE_BYTES, (int)len) != 1 ||
        EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, tag) != 1 || EVP_DecryptFinal_ex(c, out + n, &n) != 1)
        return false;
    to->len += len;
    to->ptr[to->len] = '\0';
    return true;
}

enum status vault_seal(struct vault *v, struct slice context, struct slice plain, struct buf *to, struct error *err)
{
    static const char version = SEAL_VERSION;
    struct buf raw CLEANUP(buf_release) = { 0 };
    enum status st = need_key(v, true, err);

    if (st != STATUS_OK)
        return st;
    buf_append(&raw, &version, 1);
    if (!encrypt(v, context, plain, &raw))
        return error_set(err, STATUS_INTERNAL, 0, "a secret could not be encrypted");
    base64_encode(to, buf_slice(&raw));
    return to->overflowed ? error_set(err, STATUS_NOMEM, 0, "out of memory") : STATUS_OK;
}

enum status vault_unseal(struct vault *v, struct slice context, struct slice sealed, struct buf *to, struct error *err)
{
    struct buf raw CLEANUP(buf_release) = { 0 };
    enum status st = need_key(v, false, err);

    if (st != STATUS_OK)
        return st;
    if (!base64_decode(&raw, sealed) || !decrypt(v, context, buf_slice(&raw), to))
        return error_set(err, STATUS_CORRUPT, 0,
                         "it was sealed with another key than the one in secrets.key, or is damaged");
    return STATUS_OK;
}

enum status vault_sign(struct vault *v, struct slice text, unsigned char ret[SHA256_BYTES], struct error *err)
{
    enum status st = need_key(v, true, err);

    if (st != STATUS_OK)
        return st;
    if (!HMAC(EVP_sha256(), v->sign_key, SHA256_BYTES, (const unsigned char *)text.ptr, text.len, ret, NULL))
        return error_set(err, STATUS_INTERNAL, 0, "OpenSSL: HMAC failed");
    return STATUS_OK;
}
