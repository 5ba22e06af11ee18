/*
 * Fuzzes the statement splitter: the first byte picks the size of the pieces, the rest is SQL. The statements must be the
 * same as from one piece, lie in the text one behind the other, and leave nothing but space, ';' and comments out.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined ... fuzz_split.c src/sql/split.c src/base/error.c
 */
#include "sql/split.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct cut {
    uint64_t offset;
    size_t len;
};

/* Returns how many cuts there are (at most max), or -1 when the splitter refused the text. */
static long cut_all(struct slice text, size_t piece, struct cut *cuts, size_t max)
{
    struct split s;
    struct split_statement st;
    struct error err;
    size_t at = 0, n = 0;
    enum split_result r;

    split_init(&s);
    s.max_bytes = 4096;
    while ((r = split_next(&s, &st, &err)) != SPLIT_DONE && r != SPLIT_FAILED) {
        if (r == SPLIT_STATEMENT) {
            if (st.text.ptr[st.text.len] != '\0' || memcmp(text.ptr + st.offset, st.text.ptr, st.text.len) != 0)
                abort();
            if (n < max)
                cuts[n++] = (struct cut){ st.offset, st.text.len };
            continue;
        }
        size_t part = text.len - at < piece ? text.len - at : piece;
        if (part == 0) {
            split_end(&s);
            continue;
        }
        char *room = split_room(&s, part);
        if (!room)
            abort();
        memcpy(room, text.ptr + at, part);
        split_fed(&s, part);
        at += part;
    }
    split_release(&s);
    return r == SPLIT_FAILED ? -1 : (long)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cut whole[4096], pieces[4096];

    if (size < 2 || size > 4096)
        return 0;
    struct slice text = slice_of((const char *)data + 1, size - 1);
    long n_whole = cut_all(text, text.len, whole, ARRAY_LEN(whole));
    long n_pieces = cut_all(text, 1U + data[0], pieces, ARRAY_LEN(pieces));
    if (n_whole != n_pieces)
        abort();
    uint64_t end = 0;
    for (long i = 0; i < n_whole; i++) {
        if (whole[i].offset != pieces[i].offset || whole[i].len != pieces[i].len || whole[i].offset < end)
            abort();
        end = whole[i].offset + whole[i].len;
    }
    return 0;
}
