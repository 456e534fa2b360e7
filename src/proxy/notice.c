#include "proxy/notice.h"

/* A message may outlive the worker that posted it: it has what it needs of the options. */
struct notice {
    struct message message;
    void (*tell)(void *arg, const struct endpoint_live *, enum reason, bool ejected);
    void *arg;
    struct endpoint_live *live;           /* one reference */
    enum reason reason;
    bool ejected;
};

struct adopted {
    struct message message;
    void (*tell)(void *arg, unsigned index, uint64_t generation);
    void *arg;
    unsigned index;
    uint64_t generation;
};

static void handle_notice(struct message *m, void *owner)
{
    (void)owner;
    struct notice *n = CONTAINER_OF(m, struct notice, message);
    n->tell(n->arg, n->live, n->reason, n->ejected);
    endpoint_live_unref(n->live);
    free(n);
}

void notice_post(struct worker *w, struct endpoint_live *live, enum reason reason, bool ejected)
{
    struct notice *n = w->options.control && w->options.notice ? malloc(sizeof *n) : NULL;
    if (!n)
        return; /* without memory only the news is late: the sweep and the monitors find out as well */
    *n = (struct notice){ .message.handle = handle_notice, .tell = w->options.notice, .arg = w->options.arg, .live = endpoint_live_ref(live),
                          .reason = reason, .ejected = ejected };
    list_init(&n->message.link);
    mailbox_post(w->options.control, &n->message);
}

static void handle_adopted(struct message *m, void *owner)
{
    (void)owner;
    struct adopted *a = CONTAINER_OF(m, struct adopted, message);
    a->tell(a->arg, a->index, a->generation);
    free(a);
}

void notice_post_adopted(struct worker *w, uint64_t generation)
{
    struct adopted *a = w->options.control && w->options.adopted ? malloc(sizeof *a) : NULL;
    if (!a)
        return;
    *a = (struct adopted){ .message.handle = handle_adopted, .tell = w->options.adopted, .arg = w->options.arg, .index = w->options.index,
                           .generation = generation };
    list_init(&a->message.link);
    mailbox_post(w->options.control, &a->message);
}
