#include "net/mailbox.h"

static void take_all(struct mailbox *box, struct list *messages)
{
    pthread_mutex_lock(&box->lock);
    list_append_all(messages, &box->queue);
    pthread_mutex_unlock(&box->lock);
}

/* Those that were there when it began: what a handler posts to its own loop waits for the next turn. */
static bool handle_posted(struct mailbox *box)
{
    struct list messages, *link;
    list_init(&messages);
    take_all(box, &messages);
    bool any = !list_empty(&messages);
    while ((link = list_pop_front(&messages))) {
        struct message *m = CONTAINER_OF(link, struct message, link);
        m->handle(m, box->owner);
    }
    return any;
}

static void on_wake(struct ev_loop *loop, ev_async *w, int events)
{
    (void)loop;
    (void)events;
    handle_posted(w->data);
}

void mailbox_init(struct mailbox *box, struct ev_loop *loop, void *owner)
{
    box->loop = loop;
    box->owner = owner;
    pthread_mutex_init(&box->lock, NULL);
    list_init(&box->queue);
    ev_async_init(&box->wake, on_wake);
    box->wake.data = box;
    ev_async_start(loop, &box->wake);
}

void mailbox_clear(struct mailbox *box)
{
    ev_async_stop(box->loop, &box->wake);
    while (handle_posted(box))
        ;
    pthread_mutex_destroy(&box->lock);
}

void mailbox_post(struct mailbox *box, struct message *m)
{
    pthread_mutex_lock(&box->lock);
    bool first = list_empty(&box->queue);
    list_push_back(&box->queue, &m->link);
    pthread_mutex_unlock(&box->lock);
    if (first) /* else a wake-up is on its way already */
        ev_async_send(box->loop, &box->wake);
}
