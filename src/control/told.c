#include "control/told.h"

#include "base/mem.h"
#include "control/store.h"

#include <jansson.h>
#include <string.h>

struct told_state {
    char *key;   /* kind and name, joined by a dot: subjects of different kinds may have the same name */
    char *state; /* as `to` of the event's data has it */
    UT_hash_handle hh;
};

static void forget(struct control *control, struct told_state *told)
{
    HASH_DEL(control->told, told);
    free(told->key);
    free(told->state);
    free(told);
}

static void keep(void *arg, struct event *event)
{
    struct control *control = arg;
    json_t *data = json_loads(event->data, 0, NULL);
    const char *state = json_string_value(json_object_get(data, "to"));
    if (state) {
        struct told_state *told = mem_zero(sizeof *told);
        told->key = mem_printf("%.*s.%s", (int)strcspn(event->type, "."), event->type, event->subject);
        told->state = mem_copy_text(state);
        HASH_ADD_KEYPTR(hh, control->told, told->key, strlen(told->key), told);
    }
    json_decref(data);
}

void told_load(struct control *control)
{
    store_each_last(control->store, keep, control);
}

void told_clear(struct control *control)
{
    struct told_state *told, *next;
    HASH_ITER(hh, control->told, told, next)
        forget(control, told);
}

/* The number of the state's name; `unknown` if there is none. */
static unsigned take(struct control *control, const char *kind, const char *subject, unsigned states, const char *(*name)(unsigned state),
                     unsigned unknown)
{
    struct told_state *told;
    char *key = mem_printf("%s.%s", kind, subject);
    HASH_FIND_STR(control->told, key, told);
    free(key);
    if (!told)
        return unknown;
    unsigned state = 0;
    while (state < states && strcmp(name(state), told->state) != 0)
        state++;
    forget(control, told);
    return state < states ? state : unknown;
}

static const char *endpoint_name(unsigned state)
{
    return verdict_state_name((enum verdict_state)state);
}

static const char *pool_name(unsigned state)
{
    return pool_state_name((enum pool_state)state);
}

static const char *load_balancer_name(unsigned state)
{
    return load_balancer_state_name((enum load_balancer_state)state);
}

static const char *tunnel_name(unsigned status)
{
    return tunnel_status_name((enum tunnel_status)status);
}

enum verdict_state told_take_endpoint(struct control *control, const char *id)
{
    return (enum verdict_state)take(control, "endpoint", id, VERDICT_DISABLED + 1, endpoint_name, VERDICT_UNKNOWN);
}

enum pool_state told_take_pool(struct control *control, const char *name)
{
    return (enum pool_state)take(control, "pool", name, POOL_DISABLED + 1, pool_name, POOL_UNKNOWN);
}

enum load_balancer_state told_take_load_balancer(struct control *control, const char *name)
{
    return (enum load_balancer_state)take(control, "load_balancer", name, LB_DISABLED + 1, load_balancer_name, LB_UNKNOWN);
}

enum tunnel_status told_take_tunnel(struct control *control, const char *id)
{
    return (enum tunnel_status)take(control, "tunnel", id, TUNNEL_INACTIVE + 1, tunnel_name, TUNNEL_UNKNOWN);
}
