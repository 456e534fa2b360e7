#include "balance/geoip.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <maxminddb.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

/* Records that are looked at to know what a database holds. */
enum { SURVEY_RECORDS = 2000 };

struct geoip {
    _Atomic unsigned refs;
    struct geoip_contents contents;
    size_t n;
    MMDB_s files[GEOIP_FILES_MAX];
};

/* --- opening --- */

static bool fail(char error[static GEOIP_ERROR_SIZE], const char *path, const char *what)
{
    snprintf(error, GEOIP_ERROR_SIZE, "%s: %s", path, what);
    return false;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static bool copy_all(int from, int to, off_t size)
{
    off_t left = size;
    while (left > 0) {
        ssize_t n = sendfile(to, from, NULL, (size_t)left);
        if (n <= 0)
            return false;
        left -= n;
    }
    return true;
}

/* Into a file that has no name; -1 with what is wrong. */
static int copy_open(int file, const char *path, char error[static GEOIP_ERROR_SIZE])
{
    struct stat before, after;
    if (fstat(file, &before) < 0 || !S_ISREG(before.st_mode)) {
        fail(error, path, "not a regular file");
        return -1;
    }
    int copy = memfd_create("geoip", MFD_CLOEXEC);
    if (copy < 0 || !copy_all(file, copy, before.st_size) || fstat(file, &after) < 0 || !is_same(&before, &after)) {
        fail(error, path, copy < 0 ? strerror(errno) : "it changes while it is read");
        if (copy >= 0)
            close(copy);
        return -1;
    }
    return copy;
}

static int copy_file(const char *path, char error[static GEOIP_ERROR_SIZE])
{
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file < 0) {
        fail(error, path, strerror(errno));
        return -1;
    }
    int copy = copy_open(file, path, error);
    close(file);
    return copy;
}

static bool open_one(MMDB_s *out, const char *path, char error[static GEOIP_ERROR_SIZE])
{
    char name[32];
    int copy = copy_file(path, error);
    if (copy < 0)
        return false;
    snprintf(name, sizeof name, "/proc/self/fd/%d", copy);
    int status = MMDB_open(name, MMDB_MODE_MMAP, out);
    close(copy); /* the mapping holds it */
    return status == MMDB_SUCCESS || fail(error, path, MMDB_strerror(status));
}

/* --- reading a record --- */

static bool get(MMDB_entry_s *entry, MMDB_entry_data_s *out, const char *const *path)
{
    return MMDB_aget_value(entry, out, path) == MMDB_SUCCESS && out->has_data;
}

static bool get_text(MMDB_entry_s *entry, MMDB_entry_data_s *out, const char *const *path)
{
    return get(entry, out, path) && out->type == MMDB_DATA_TYPE_UTF8_STRING && out->data_size > 0;
}

static bool get_degrees(MMDB_entry_s *entry, const char *const *path, double most, float *out)
{
    MMDB_entry_data_s data;
    double degrees = (double)NAN;
    if (!get(entry, &data, path))
        return false;
    if (data.type == MMDB_DATA_TYPE_DOUBLE)
        degrees = data.double_value;
    else if (data.type == MMDB_DATA_TYPE_FLOAT)
        degrees = (double)data.float_value;
    *out = (float)degrees;
    return fabs(degrees) <= most;
}

static void read_country(MMDB_entry_s *entry, struct place *out)
{
    static const char *const paths[][3] = { { "country", "iso_code" }, { "registered_country", "iso_code" }, { "country_code" }, { "country" } };
    MMDB_entry_data_s data;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (get_text(entry, &data, paths[i]) && data.data_size == 2) {
            memcpy(out->country, data.utf8_string, 2);
            return;
        }
}

static void read_subdivision(MMDB_entry_s *entry, struct place *out)
{
    static const char *const code[] = { "subdivisions", "0", "iso_code", NULL }, *const names[][2] = { { "state1" }, { "region" } };
    MMDB_entry_data_s data;
    if (get_text(entry, &data, code) && data.data_size < sizeof out->subdivision) {
        memcpy(out->subdivision, data.utf8_string, data.data_size);
        return;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *found = get_text(entry, &data, names[i]) ? subdivision_code(out->country, data.utf8_string, data.data_size) : NULL;
        if (found) {
            memcpy(out->subdivision, found, 2);
            return;
        }
    }
}

static void read_coordinates(MMDB_entry_s *entry, struct place *out)
{
    static const char *const latitudes[][3] = { { "location", "latitude" }, { "latitude" } };
    static const char *const longitudes[][3] = { { "location", "longitude" }, { "longitude" } };
    for (size_t i = 0; i < 2; i++)
        if (get_degrees(entry, latitudes[i], 90, &out->latitude) && get_degrees(entry, longitudes[i], 180, &out->longitude))
            return;
    out->latitude = out->longitude = NAN;
}

static void read_place(MMDB_entry_s *entry, struct place *out)
{
    *out = place_unknown;
    read_country(entry, out);
    read_subdivision(entry, out);
    read_coordinates(entry, out);
    out->region = (uint8_t)region_of(out->country, out->subdivision);
}

/* --- what is in it --- */

struct survey {
    MMDB_s *file;
    unsigned records, nodes;
    struct geoip_contents contents;
};

static void survey_record(struct survey *s, MMDB_entry_s *entry)
{
    struct place place;
    read_place(entry, &place);
    s->records++;
    s->contents.countries |= place.country[0] != '\0';
    s->contents.subdivisions |= place.subdivision[0] != '\0';
    s->contents.coordinates |= !isnan(place.latitude);
}

/* Branches alternate, so that the records looked at are not all of one corner; depth is bounded by the address's length. */
static void survey_node(struct survey *s, uint32_t node, unsigned depth)
{
    MMDB_search_node_s n;
    if (s->records >= SURVEY_RECORDS || depth >= 128 || s->nodes++ > 64 * SURVEY_RECORDS || MMDB_read_node(s->file, node, &n) != MMDB_SUCCESS)
        return;
    for (unsigned k = 0; k < 2; k++) {
        bool left = k == depth % 2;
        uint8_t type = left ? n.left_record_type : n.right_record_type;
        if (type == MMDB_RECORD_TYPE_DATA)
            survey_record(s, left ? &n.left_record_entry : &n.right_record_entry);
        else if (type == MMDB_RECORD_TYPE_SEARCH_NODE)
            survey_node(s, (uint32_t)(left ? n.left_record : n.right_record), depth + 1);
    }
}

static void survey(struct geoip *g)
{
    for (size_t i = 0; i < g->n; i++) {
        struct survey s = { .file = &g->files[i] };
        survey_node(&s, 0, 0);
        g->contents.countries |= s.contents.countries;
        g->contents.subdivisions |= s.contents.subdivisions;
        g->contents.coordinates |= s.contents.coordinates;
    }
}

struct geoip_contents geoip_contents(const struct geoip *g)
{
    return g->contents;
}

/* --- the whole --- */

struct geoip *geoip_open(const char *const *paths, size_t n, char error[static GEOIP_ERROR_SIZE])
{
    struct geoip *g = mem_zero(sizeof *g);
    atomic_init(&g->refs, 1);
    for (; g->n < n && g->n < GEOIP_FILES_MAX; g->n++)
        if (!open_one(&g->files[g->n], paths[g->n], error)) {
            geoip_unref(g);
            return NULL;
        }
    survey(g);
    if (g->contents.countries || g->contents.coordinates)
        return g;
    fail(error, paths[0], "no record of it tells a country or a place");
    geoip_unref(g);
    return NULL;
}

struct geoip *geoip_ref(struct geoip *g)
{
    atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed);
    return g;
}

void geoip_unref(struct geoip *g)
{
    if (!g || atomic_fetch_sub_explicit(&g->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < g->n; i++)
        MMDB_close(&g->files[i]);
    free(g);
}

void geoip_find(const struct geoip *g, const struct address *address, struct place *out)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET };
    const struct sockaddr *sought = &address->sa;
    *out = place_unknown;
    if (address->sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&address->v6.sin6_addr)) {
        memcpy(&v4.sin_addr, (const char *)&address->v6.sin6_addr + 12, 4);
        sought = (const struct sockaddr *)&v4;
    }
    for (size_t i = 0; i < g->n && !out->country[0] && isnan(out->latitude); i++) {
        int error;
        MMDB_lookup_result_s found = MMDB_lookup_sockaddr(&g->files[i], sought, &error);
        if (error == MMDB_SUCCESS && found.found_entry)
            read_place(&found.entry, out);
    }
}

/* --- the slot --- */

void geoip_slot_init(struct geoip_slot *s)
{
    *s = (struct geoip_slot){ .current = NULL };
    pthread_mutex_init(&s->lock, NULL);
}

void geoip_slot_clear(struct geoip_slot *s)
{
    geoip_unref(s->current);
    pthread_mutex_destroy(&s->lock);
}

void geoip_slot_set(struct geoip_slot *s, struct geoip *g)
{
    pthread_mutex_lock(&s->lock);
    struct geoip *former = s->current;
    s->current = g;
    atomic_fetch_add_explicit(&s->version, 1, memory_order_release);
    pthread_mutex_unlock(&s->lock);
    geoip_unref(former);
}

struct geoip *geoip_slot_get(struct geoip_slot *s, uint64_t *version)
{
    pthread_mutex_lock(&s->lock);
    struct geoip *g = s->current ? geoip_ref(s->current) : NULL;
    *version = atomic_load_explicit(&s->version, memory_order_relaxed);
    pthread_mutex_unlock(&s->lock);
    return g;
}
