#include "control/places.h"

#include "base/log.h"
#include "base/mem.h"
#include "control/tell.h"

#include <string.h>

/* A file that is being written is looked at once it has been left alone for so long. */
static const double settle_s = 1;

struct places {
    struct control *control;
    struct geoip_slot slot;
    char *paths[GEOIP_FILES_MAX];
    size_t n;
    ev_stat files[GEOIP_FILES_MAX];
    ev_timer settle;
    bool failed; /* and was told */
};

static void note_failure(struct places *p, const char *problem)
{
    if (!p->failed)
        tell_places(p->control, problem, p->slot.current != NULL);
    p->failed = true;
}

static void use(struct places *p, struct geoip *geoip)
{
    geoip_slot_set(&p->slot, geoip);
    if (p->failed)
        tell_places(p->control, NULL, true);
    p->failed = false;
}

static void on_settled(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    struct places *p = timer->data;
    char error[GEOIP_ERROR_SIZE];
    struct geoip *geoip = geoip_open((const char *const *)p->paths, p->n, error);
    if (!geoip) {
        note_failure(p, error);
        return;
    }
    log_notice("geoip", "%s changed and is in use", p->paths[0]);
    use(p, geoip);
}

static void on_change(struct ev_loop *loop, ev_stat *file, int events)
{
    (void)events;
    struct places *p = file->data;
    ev_timer_stop(loop, &p->settle);
    ev_timer_set(&p->settle, settle_s, 0.);
    ev_timer_start(loop, &p->settle);
}

static void unwatch(struct places *p)
{
    ev_timer_stop(p->control->loop, &p->settle);
    for (size_t i = 0; i < p->n; i++) {
        ev_stat_stop(p->control->loop, &p->files[i]);
        free(p->paths[i]);
    }
    p->n = 0;
}

static void watch(struct places *p, const struct texts *paths)
{
    for (size_t i = 0; i < paths->n && i < GEOIP_FILES_MAX; i++) {
        p->paths[i] = mem_copy_text(paths->items[i]);
        ev_stat_init(&p->files[i], on_change, p->paths[i], 0.);
        p->files[i].data = p;
        ev_stat_start(p->control->loop, &p->files[i]);
        p->n++;
    }
}

static bool are_watched(const struct places *p, const struct texts *paths)
{
    bool same = p->n == paths->n;
    for (size_t i = 0; i < p->n && same; i++)
        same = strcmp(p->paths[i], paths->items[i]) == 0;
    return same;
}

void places_set_config(struct places *p, struct config *config)
{
    struct geoip_conf *conf = &config->geoip;
    bool same = are_watched(p, &conf->databases);
    if (!same) {
        unwatch(p);
        watch(p, &conf->databases);
    }
    if (conf->opened)
        use(p, conf->opened);
    else if (!same)
        geoip_slot_set(&p->slot, NULL); /* others that we had say nothing of these */
    conf->opened = NULL;
    if (conf->problem)
        note_failure(p, conf->problem);
    conf->problem = NULL;
    if (!conf->databases.n)
        p->failed = false;
}

struct geoip_slot *places_slot(struct places *p)
{
    return &p->slot;
}

void places_find(struct places *p, const struct address *address, struct place *out)
{
    *out = place_unknown;
    if (p->slot.current) /* which only this thread replaces */
        geoip_find(p->slot.current, address, out);
}

struct places *places_new(struct control *control)
{
    struct places *p = mem_zero(sizeof *p);
    p->control = control;
    geoip_slot_init(&p->slot);
    ev_timer_init(&p->settle, on_settled, settle_s, 0.);
    p->settle.data = p;
    return p;
}

void places_free(struct places *p)
{
    if (!p)
        return;
    unwatch(p);
    geoip_slot_clear(&p->slot);
    free(p);
}
