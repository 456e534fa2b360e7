/* A sample of requests from a file, for `penstock simulate`: an access log of ours (JSON or combined), or lines that say CLIENT [HOST [PATH
 * [COUNT]]]. */
#ifndef PENSTOCK_CLI_SAMPLE_H
#define PENSTOCK_CLI_SAMPLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

enum { SAMPLE_ERROR_SIZE = 512 };

struct sample {
    json_t *clients;           /* as the API takes them */
    unsigned long long without; /* lines of an access log that have no request in them: what came was none */
    unsigned long long lines;  /* that say a request; of more than it can hold some are drawn, each with the same chance */
};

/* `name`: of the file, for errors, which name the line. False: the error says it, and there is no sample. At most `max` clients, and `size` bytes
 * of JSON. */
bool sample_read(FILE *, const char *name, size_t max, size_t size, struct sample *, char error[static SAMPLE_ERROR_SIZE]);

#endif
