/* Fuzzes the reader of source maps: any bytes, no crash, and every place it knows is one of a file it knows. */
#include "cli/source_map.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct source_map *m = source_map_parse(slice_of((const char *)data, size));

    for (uint32_t line = 0; m && line < 16; line++) {
        for (uint32_t column = 0; column < 64; column++) {
            struct source_place place;
            if (source_map_find(m, line, column, &place) && (!place.file.len || !place.line || !place.column))
                abort();
        }
    }
    source_map_free(m);
    return 0;
}
