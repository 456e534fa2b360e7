#include "control/simulator.h"

#include "base/mem.h"
#include "control/answer.h"
#include "control/places.h"
#include "control/simulation.h"
#include "control/totals.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum simulator_state { SIMULATOR_IDLE, SIMULATOR_MEASURING, SIMULATOR_RUNNING };
enum { NICENESS = 10 }; /* traffic goes first */

struct simulator {
    struct control *control;
    enum simulator_state state;
    bool freed;                  /* by whoever hears of its end */
    struct simulation *simulation;
    struct simulation_terms terms;
    struct pending *pending;
    struct endpoint_live **lives; /* those in force, by the index of the simulation's endpoints; one reference each, NULL: none */
    uint64_t *before;            /* requests that they had when the window began */
    nsec_t window_began;
    ev_timer window;
    pthread_t thread;
    struct message done;
};

static void on_window_over(struct ev_loop *, ev_timer *, int events);
static void on_done(struct message *, void *control);

static struct simulator *simulator_of(struct control *control)
{
    struct simulator *s = control->simulator;
    if (s)
        return s;
    s = control->simulator = mem_zero(sizeof *s);
    s->control = control;
    list_init(&s->done.link);
    s->done.handle = on_done;
    ev_timer_init(&s->window, on_window_over, 0., 0.);
    s->window.data = s;
    return s;
}

static void let_go_of_lives(struct simulator *s)
{
    for (size_t i = 0; s->lives && i < s->simulation->config->n_endpoints; i++)
        endpoint_live_unref(s->lives[i]);
    free(s->lives);
    free(s->before);
    s->lives = NULL;
    s->before = NULL;
}

static void clear(struct simulator *s)
{
    if (s->simulation)
        let_go_of_lives(s);
    simulation_free(s->simulation);
    simulation_terms_clear(&s->terms);
    free(s->pending);
    s->simulation = NULL;
    s->pending = NULL;
    s->state = SIMULATOR_IDLE;
}

void simulator_free(struct simulator *s)
{
    if (!s)
        return;
    ev_timer_stop(s->control->loop, &s->window);
    if (s->state == SIMULATOR_RUNNING) { /* it has posted when it is joined */
        atomic_store(&s->simulation->cancelled, true);
        pthread_join(s->thread, NULL);
        s->freed = true;
        return;
    }
    clear(s);
    free(s);
}

/* --- the run --- */

static void on_done(struct message *message, void *control)
{
    struct simulator *s = CONTAINER_OF(message, struct simulator, done);
    (void)control;
    if (!s->freed)
        pthread_join(s->thread, NULL);
    if (s->pending->call)
        answer_json(s->pending->call, 200, simulation_json(s->simulation, &s->terms));
    clear(s);
    if (s->freed)
        free(s);
}

static void *run(void *arg)
{
    struct simulator *s = arg;
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICENESS); /* of this thread alone */
    simulate(s->simulation);
    mailbox_post(&s->control->mailbox, &s->done);
    return NULL;
}

static int start_thread(struct simulator *s)
{
    sigset_t every, before;
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    int error = pthread_create(&s->thread, NULL, run, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!error)
        pthread_setname_np(s->thread, "simulation");
    return error;
}

static void start(struct simulator *s)
{
    s->state = SIMULATOR_RUNNING;
    int error = start_thread(s);
    if (!error)
        return;
    if (s->pending->call)
        answer_problem(s->pending->call, 503, "no thread for it: %s", strerror(error));
    clear(s);
}

/* --- the traffic that there is --- */

static uint64_t requests_of(const struct endpoint_live *live)
{
    struct endpoint_totals totals;
    if (!live)
        return 0;
    totals_endpoint(live, &totals);
    return totals.requests;
}

static void begin_window(struct simulator *s)
{
    const struct config *config = s->simulation->config;
    s->lives = mem_array(config->n_endpoints + 1, sizeof(struct endpoint_live *));
    s->before = mem_array(config->n_endpoints + 1, sizeof *s->before);
    for (size_t i = 0; i < config->n_endpoints; i++) {
        const struct endpoint_record *record = control_find_endpoint(s->control, config->endpoints[i]->id);
        s->lives[i] = record ? endpoint_live_ref(record->live) : NULL;
        s->before[i] = s->terms.window_s > 0 ? requests_of(s->lives[i]) : 0;
    }
    s->window_began = clock_monotonic();
}

static void end_window(struct simulator *s)
{
    size_t n = s->simulation->config->n_endpoints;
    bool measured = s->terms.window_s > 0;
    double seconds = measured ? nsec_to_seconds(clock_monotonic() - s->window_began) : 1;
    double *traffic = mem_array(n + 1, sizeof *traffic);
    for (size_t i = 0; i < n; i++)
        traffic[i] = (double)(requests_of(s->lives[i]) - s->before[i]) / seconds;
    simulation_set_traffic(s->simulation, &s->terms, traffic, measured);
    free(traffic);
    let_go_of_lives(s);
    start(s);
}

static void on_window_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct simulator *s = timer->data;
    (void)loop, (void)events;
    if (s->pending->call)
        end_window(s);
    else
        clear(s);
}

static void measure(struct simulator *s)
{
    begin_window(s);
    if (!(s->terms.window_s > 0)) {
        end_window(s);
        return;
    }
    s->state = SIMULATOR_MEASURING;
    ev_timer_set(&s->window, s->terms.window_s, 0.);
    ev_timer_start(s->control->loop, &s->window);
}

/* --- the request --- */

/* A configuration like the one in force, with states that are nobody else's. NULL after an answer. */
static struct config *make_world(const struct request *r)
{
    struct conf_messages messages = { 0 };
    struct config *config = control_remake_config(r->control, &messages);
    if (config) {
        simulation_attach(config, r->control->config);
    } else {
        struct text text = { 0 };
        conf_messages_print(&messages, &text);
        answer_problem(r->call, 409, "what the configuration in force needs has changed: %s", text.p ? text.p : "it can't be read");
        text_clear(&text);
    }
    conf_messages_clear(&messages);
    return config;
}

/* Whoever asked is gone before it began. */
static void forget_the_unwanted(struct simulator *s)
{
    if (s->state != SIMULATOR_MEASURING || s->pending->call)
        return;
    ev_timer_stop(s->control->loop, &s->window);
    clear(s);
}

void simulator_serve(const struct request *r)
{
    char error[SIMULATION_ERROR_SIZE];
    struct simulator *s = simulator_of(r->control);
    forget_the_unwanted(s);
    if (r->control->stopping || s->state != SIMULATOR_IDLE) {
        request_refuse_with(r, 503, "Retry-After: 2\r\n",
                            r->control->stopping ? "the daemon is stopping" : "another simulation is under way: try again in a moment");
        return;
    }
    json_t *question = request_body(r, simulation_members);
    struct config *config = question ? make_world(r) : NULL;
    if (config && (s->simulation = simulation_ask(config, question, &s->terms, error))) {
        s->simulation->geoip = r->control->places ? places_slot(r->control->places) : NULL;
        s->pending = pending_new(r, "");
        measure(s);
    } else if (config) {
        answer_problem(r->call, 400, "%s", error);
    }
    json_decref(question);
}
