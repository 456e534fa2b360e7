/* UUIDs as text: 36 lower-case characters (RFC 9562). */
#ifndef PENSTOCK_BASE_UUID_H
#define PENSTOCK_BASE_UUID_H

#include <stdbool.h>

#define UUID_TEXT_SIZE 37
#define UUID_SIZE 16

/* A random one (version 4). */
char *uuid_make(char out[static UUID_TEXT_SIZE]);
/* The text of one that is given as bytes. */
char *uuid_format(const unsigned char bytes[static UUID_SIZE], char out[static UUID_TEXT_SIZE]);
/* True if `text` is a UUID; `out`, unless NULL, gets it in lower case. */
bool uuid_parse(const char *text, char out[UUID_TEXT_SIZE]);

#endif
