/*
 * vault.h - the key of the data directory: it seals Workers' secrets at rest and signs the tokens of asset uploads.
 *
 * The key is 32 random bytes, as hex in DIR/secrets.key (mode 0600) or in the file that $DIONE_SECRETS_KEY_FILE names. It
 * is made when something is first sealed or signed, but never while texts are stored that another key has sealed. Sealed text is base64 of: version byte, nonce (12 bytes), AES-256-GCM ciphertext, tag
 * (16 bytes); the context (whose secret, which name) is authenticated with it, so a sealed value fits no other place.
 * Any thread; reading the key file blocks.
 */
#ifndef DIONE_WORKERS_VAULT_H
#define DIONE_WORKERS_VAULT_H

#include "base/buf.h"
#include "base/digest.h"
#include "base/error.h"

struct vault;

/*
 * `dir` must live as long as the vault. `must_exist`: something stored is sealed, so the key is there or is missed. Reads
 * nothing yet. NULL: out of memory.
 */
struct vault *vault_new(const char *dir, bool must_exist);
void vault_free(struct vault *v);

/* Appends the sealed text to *to. IO: the key can be neither read nor made, or is missing. */
enum status vault_seal(struct vault *v, struct slice context, struct slice plain, struct buf *to,
                       struct error *err) MUST_CHECK;
/* Appends the plain text to *to. IO: the key cannot be read. CORRUPT: sealed with another key or for another context, or damaged. */
enum status vault_unseal(struct vault *v, struct slice context, struct slice sealed, struct buf *to,
                         struct error *err) MUST_CHECK;
/* HMAC-SHA-256 with a key of its own, derived from the vault's. */
enum status vault_sign(struct vault *v, struct slice text, unsigned char ret[SHA256_BYTES],
                       struct error *err) MUST_CHECK;

#endif
