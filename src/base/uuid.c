#include "base/uuid.h"

#include "base/random.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>

char *uuid_format(const unsigned char bytes[static UUID_SIZE], char out[static UUID_TEXT_SIZE])
{
    char *p = out;
    for (size_t i = 0; i < UUID_SIZE; i++)
        p += sprintf(p, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", bytes[i]);
    return out;
}

char *uuid_make(char out[static UUID_TEXT_SIZE])
{
    unsigned char b[UUID_SIZE];

    random_bytes(b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40); /* version 4 */
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80); /* variant */
    return uuid_format(b, out);
}

bool uuid_parse(const char *text, char out[UUID_TEXT_SIZE])
{
    for (size_t i = 0; i < UUID_TEXT_SIZE - 1; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
            return false;
    }
    if (text[UUID_TEXT_SIZE - 1] != '\0')
        return false;
    for (size_t i = 0; out && i < UUID_TEXT_SIZE; i++)
        out[i] = (char)tolower((unsigned char)text[i]);
    return true;
}
