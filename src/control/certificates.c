#include "control/certificates.h"

#include "base/mem.h"
#include "control/edge.h"
#include "control/tell.h"
#include "net/tls.h"

static const double day_s = 24 * 60 * 60;

/* What was told of one listener. */
struct told {
    char *listener;
    enum certificate_standing standing;
    UT_hash_handle hh;
};

struct certificates {
    struct control *control;
    ev_timer daily;
    struct told *told; /* by the listener's address */
};

static struct told *find_or_make(struct certificates *c, const char *listener)
{
    struct told *told;
    HASH_FIND_STR(c->told, listener, told);
    if (told)
        return told;
    told = mem_zero(sizeof *told);
    told->listener = mem_copy_text(listener);
    HASH_ADD_KEYPTR(hh, c->told, told->listener, strlen(told->listener), told);
    return told;
}

static void look_at(struct certificates *c, const char *listener, time_t end)
{
    nsec_t not_after = (nsec_t)end * NSEC_PER_SEC;
    struct told *told = find_or_make(c, listener);
    enum certificate_standing now = certificate_stand(not_after, clock_wall());
    struct announcement what;
    if (announce_certificate(told->standing, now, &what))
        tell_certificate(c->control, listener, not_after, now, &what);
    told->standing = now;
}

static void look_at_edge(struct certificates *c)
{
    time_t end = c->control->edge ? edge_certificate_end(c->control->edge) : 0;
    if (end)
        look_at(c, "edge", end);
}

void certificates_look(struct certificates *c)
{
    const struct config *config = c->control->config;
    look_at_edge(c);
    for (size_t i = 0; i < config->n_listeners; i++)
        if (config->listeners[i].tls_server)
            look_at(c, config->listeners[i].address, tls_server_not_after(config->listeners[i].tls_server));
}

static void on_day(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    certificates_look(timer->data);
}

struct certificates *certificates_new(struct control *control)
{
    struct certificates *c = mem_zero(sizeof *c);
    c->control = control;
    ev_timer_init(&c->daily, on_day, day_s, day_s);
    c->daily.data = c;
    ev_timer_start(control->loop, &c->daily);
    return c;
}

void certificates_free(struct certificates *c)
{
    if (!c)
        return;
    ev_timer_stop(c->control->loop, &c->daily);
    struct told *told, *next;
    HASH_ITER(hh, c->told, told, next) {
        HASH_DEL(c->told, told);
        free(told->listener);
        free(told);
    }
    free(c);
}
