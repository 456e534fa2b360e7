#include "tests/sim/mmdb.h"

#include "net/address.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODES_MAX = 100000, DATA_MAX = 1 << 20 };
enum type { TYPE_STRING = 2, TYPE_DOUBLE = 3, TYPE_UINT16 = 5, TYPE_UINT32 = 6, TYPE_MAP = 7, TYPE_UINT64 = 9, TYPE_ARRAY = 11, TYPE_FLOAT = 15 };

/* A node's sides: another node's number, EMPTY, or a record at DATA + its offset. */
enum { EMPTY = -1, DATA = 1 << 24 };

struct database {
    int32_t nodes[NODES_MAX][2];
    uint32_t n_nodes;
    uint8_t data[DATA_MAX];
    size_t n_data;
};

/* --- the data section --- */

static void put(struct database *d, const void *bytes, size_t n)
{
    memcpy(d->data + d->n_data, bytes, n);
    d->n_data += n;
}

static void put_byte(struct database *d, unsigned byte)
{
    d->data[d->n_data++] = (uint8_t)byte;
}

static void put_head(struct database *d, enum type type, size_t size)
{
    if (type > 7) {
        put_byte(d, (unsigned)size);
        put_byte(d, (unsigned)type - 7);
    } else {
        put_byte(d, (unsigned)type << 5 | (unsigned)size);
    }
}

static void put_text(struct database *d, const char *text)
{
    put_head(d, TYPE_STRING, strlen(text)); /* shorter than 29 */
    put(d, text, strlen(text));
}

static void put_number(struct database *d, enum type type, uint64_t value, size_t size)
{
    put_head(d, type, size);
    for (size_t i = size; i-- > 0;)
        put_byte(d, (unsigned)(value >> (8 * i) & 0xff));
}

static void put_degrees(struct database *d, double value, bool single)
{
    float less = (float)value;
    uint64_t bits = 0;
    uint32_t few;
    memcpy(&bits, &value, sizeof bits);
    memcpy(&few, &less, sizeof few);
    if (single)
        put_number(d, TYPE_FLOAT, few, 4);
    else
        put_number(d, TYPE_DOUBLE, bits, 8);
}

static void put_flat(struct database *d, const struct mmdb_row *r)
{
    put_head(d, TYPE_MAP, (size_t)!!r->country + !!r->subdivision + (r->latitude ? 2 : 0));
    if (r->country) {
        put_text(d, "country_code");
        put_text(d, r->country);
    }
    if (r->latitude) {
        put_text(d, "latitude");
        put_degrees(d, *r->latitude, true);
        put_text(d, "longitude");
        put_degrees(d, *r->longitude, true);
    }
    if (r->subdivision) {
        put_text(d, "state1");
        put_text(d, r->subdivision);
    }
}

static void put_grouped(struct database *d, const struct mmdb_row *r)
{
    put_head(d, TYPE_MAP, (size_t)!!r->country + !!r->subdivision + !!r->latitude);
    if (r->country) {
        put_text(d, "country");
        put_head(d, TYPE_MAP, 1);
        put_text(d, "iso_code");
        put_text(d, r->country);
    }
    if (r->latitude) {
        put_text(d, "location");
        put_head(d, TYPE_MAP, 2);
        put_text(d, "latitude");
        put_degrees(d, *r->latitude, false);
        put_text(d, "longitude");
        put_degrees(d, *r->longitude, false);
    }
    if (r->subdivision) {
        put_text(d, "subdivisions");
        put_head(d, TYPE_ARRAY, 1);
        put_head(d, TYPE_MAP, 1);
        put_text(d, "iso_code");
        put_text(d, r->subdivision);
    }
}

/* --- the tree --- */

static int32_t add_node(struct database *d, int32_t both)
{
    d->nodes[d->n_nodes][0] = d->nodes[d->n_nodes][1] = both;
    return (int32_t)d->n_nodes++;
}

/* IPv4 lies at ::/96. */
static void add_network(struct database *d, const struct cidr *network, int32_t record)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    uint8_t bytes[16];
    uint32_t at = 0;
    memcpy(bytes, network->bytes, sizeof bytes);
    if (network->bits >= 96 && memcmp(bytes, mapped, sizeof mapped) == 0)
        memset(bytes, 0, sizeof mapped);
    for (unsigned i = 0; i + 1 < network->bits; i++) {
        int32_t *side = &d->nodes[at][bytes[i / 8] >> (7 - i % 8) & 1];
        if (*side < 0 || *side >= DATA)
            *side = add_node(d, *side);
        at = (uint32_t)*side;
    }
    unsigned last = network->bits - 1U;
    d->nodes[at][bytes[last / 8] >> (7 - last % 8) & 1] = record;
}

struct parsed {
    struct cidr network;
    const struct mmdb_row *row;
};

static int compare_width(const void *a, const void *b)
{
    return (int)((const struct parsed *)a)->network.bits - (int)((const struct parsed *)b)->network.bits;
}

static bool build(struct database *d, const struct mmdb_row *rows, size_t n, bool flat)
{
    struct parsed *parsed = calloc(n + 1, sizeof *parsed);
    bool good = parsed != NULL;
    for (size_t i = 0; good && i < n; i++) {
        parsed[i].row = &rows[i];
        good = cidr_parse(rows[i].network, &parsed[i].network) && parsed[i].network.bits > 0;
    }
    if (good)
        qsort(parsed, n, sizeof *parsed, compare_width);
    add_node(d, EMPTY);
    for (size_t i = 0; good && i < n; i++) {
        add_network(d, &parsed[i].network, DATA + (int32_t)d->n_data);
        (flat ? put_flat : put_grouped)(d, parsed[i].row);
    }
    free(parsed);
    return good;
}

/* --- the file --- */

static void write_side(FILE *out, const struct database *d, int32_t side)
{
    uint32_t value = side == EMPTY ? d->n_nodes : side >= DATA ? (uint32_t)(side - DATA) + d->n_nodes + 16 : (uint32_t)side;
    for (int shift = 24; shift >= 0; shift -= 8)
        fputc((int)(value >> shift & 0xff), out);
}

static void put_metadata(struct database *d, bool flat)
{
    put(d, "\xab\xcd\xefMaxMind.com", 14);
    put_head(d, TYPE_MAP, 9);
    put_text(d, "binary_format_major_version");
    put_number(d, TYPE_UINT16, 2, 2);
    put_text(d, "binary_format_minor_version");
    put_number(d, TYPE_UINT16, 0, 2);
    put_text(d, "build_epoch");
    put_number(d, TYPE_UINT64, 1700000000, 8);
    put_text(d, "database_type");
    put_text(d, flat ? "city" : "Test-City");
    put_text(d, "description");
    put_head(d, TYPE_MAP, 0);
    put_text(d, "ip_version");
    put_number(d, TYPE_UINT16, 6, 2);
    put_text(d, "languages");
    put_head(d, TYPE_ARRAY, 0);
    put_text(d, "node_count");
    put_number(d, TYPE_UINT32, d->n_nodes, 4);
    put_text(d, "record_size");
    put_number(d, TYPE_UINT16, 32, 2);
}

static bool write_file(struct database *d, const char *path, bool flat)
{
    static const char separator[16] = { 0 };
    FILE *out = fopen(path, "wb");
    if (!out)
        return false;
    for (uint32_t i = 0; i < d->n_nodes; i++)
        for (unsigned k = 0; k < 2; k++)
            write_side(out, d, d->nodes[i][k]);
    fwrite(separator, 1, sizeof separator, out);
    put_metadata(d, flat);
    fwrite(d->data, 1, d->n_data, out);
    return fclose(out) == 0;
}

bool mmdb_write(const char *path, const struct mmdb_row *rows, size_t n, bool flat)
{
    struct database *d = calloc(1, sizeof *d);
    bool good = d && build(d, rows, n, flat) && write_file(d, path, flat);
    free(d);
    return good;
}
