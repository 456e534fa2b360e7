/* The types of values. Each reads one kind of setting into a field of one C type, given in the row's macro (see schema.c). */
#ifndef PENSTOCK_CONF_TYPES_H
#define PENSTOCK_CONF_TYPES_H

#include "conf/schema.h"

#include <libconfig.h>
#include <stdint.h>

extern const struct conf_type type_flag;       /* bool */
extern const struct conf_type type_count;      /* unsigned */
extern const struct conf_type type_number;     /* double */
extern const struct conf_type type_coordinate; /* float; NaN where not given */
extern const struct conf_type type_duration;   /* nsec_t */
extern const struct conf_type type_size;       /* uint64_t */
extern const struct conf_type type_mode;       /* unsigned, written in octal */
extern const struct conf_type type_choice;     /* int or enum, by the row's choices */
extern const struct conf_type type_text;       /* const char *; not empty, no control characters */
extern const struct conf_type type_lines;      /* the same, of one line or several */
extern const struct conf_type type_name;       /* const char *; see is_name */
extern const struct conf_type type_path;       /* const char *; from the folder of the file it stands in */
extern const struct conf_type type_file;       /* the same, of a file that is read */
extern const struct conf_type type_texts;      /* const char *const * and its count */
extern const struct conf_type type_secret;     /* const char * */
extern const struct conf_type type_headers;    /* const struct header_pair * and its count */
extern const struct conf_type type_headers_to_match, type_cookies, type_arguments; /* likewise, of a request */
extern const struct conf_type type_group;      /* the row's members, in place at the offset */
extern const struct conf_type type_list;       /* an array of the row's members and its count */

/* Of one thing only */
extern const struct conf_type type_networks;       /* struct cidr_set */
extern const struct conf_type type_session_keys;   /* struct session_keys */
extern const struct conf_type type_resolver_servers; /* const char *, as c-ares wants them */
extern const struct conf_type type_monitor_kind;   /* const struct monitor_type * */
extern const struct conf_type type_expected_codes; /* struct monitor */
extern const struct conf_type type_expected_body;  /* struct monitor */
extern const struct conf_type type_ingress;        /* struct edge_ingress *, and its count */
extern const struct conf_type type_pool_monitors;  /* struct pool */
extern const struct conf_type type_pool_endpoints; /* struct pool */
extern const struct conf_type type_steering;       /* struct steering_conf */
extern const struct conf_type type_replica_steering; /* the same, within a tunnel */
extern const struct conf_type type_hostnames;      /* struct load_balancer, as the next five */
extern const struct conf_type type_default_pools;
extern const struct conf_type type_fallback_pool;
extern const struct conf_type type_client_map, type_place_map;
extern const struct conf_type type_place_codes;   /* struct texts: what its items and its count are of */
extern const struct conf_type type_pool_weights, type_rule_weights;
extern const struct conf_type type_databases;     /* struct geoip_conf */
extern const struct conf_type type_failover_on;    /* struct failover */
extern const struct conf_type type_channel_kind;   /* const struct channel_type * */

/* For types elsewhere. */
struct loader;
struct source;
/* A string that is neither empty nor has control characters, or NULL after telling what is wrong. */
const char *require_text(struct loader *, const struct conf_key *, const config_setting_t *);
/* A list or array of strings, or one string. False if it isn't, or of a wrong length; elements that are no strings have been
 * told, and have no text. All after telling what is wrong. */
bool require_list(struct loader *, const struct conf_key *, const struct given *);
/* Lists, of a right length. False after telling what is wrong; whether their elements are groups is for the caller. */
bool require_groups(struct loader *, const struct conf_key *, const struct given *);
/* A group of the row's members, read into `item`; false if the element is none, after telling so. */
bool read_item(struct loader *, const struct conf_key *, const config_setting_t *element, void *item);
/* A finite number, 1 or 1.0. */
bool number_of(const config_setting_t *, double *out);
/* Stores an array and its count at the row's offsets. */
void store_array(const struct conf_key *, void *object, const void *items, size_t n);
/* False if the row has no such choice. */
bool choose_word(const struct conf_key *, const char *word, int *value);

#endif
