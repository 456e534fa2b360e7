/* Messages to another thread's loop. Posting never blocks for long and may be done from any thread; messages of one sender
 * arrive in order. */
#ifndef PENSTOCK_NET_MAILBOX_H
#define PENSTOCK_NET_MAILBOX_H

#include "base/list.h"

#include <ev.h>
#include <pthread.h>

struct message {
    struct list link;
    /* Runs on the owner's thread; owns the message from then on. */
    void (*handle)(struct message *, void *owner);
};

struct mailbox {
    ev_async wake;
    struct ev_loop *loop;
    void *owner;
    pthread_mutex_t lock;
    struct list queue; /* under `lock` */
};

void mailbox_init(struct mailbox *, struct ev_loop *, void *owner);
/* Handles what is left, on the caller's thread. */
void mailbox_clear(struct mailbox *);
void mailbox_post(struct mailbox *, struct message *);

#endif
