/* Keys that session tickets are sealed with (RFC 5077 section 4). Any thread; time is an argument. */
#ifndef PENSTOCK_NET_TICKET_H
#define PENSTOCK_NET_TICKET_H

#include "base/clock.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { TICKET_NAME_SIZE = 16 };
#define TICKET_KEY_LIFE (12 * 3600 * NSEC_PER_SEC) /* as the current one; then as long again for opening */

struct ticket_key {
    uint8_t name[TICKET_NAME_SIZE];
    uint8_t cipher[32], mac[32]; /* secrets */
};

struct ticket_keys {
    pthread_mutex_t lock;
    struct ticket_key current, previous; /* under `lock` */
    bool has_current, has_previous;
    nsec_t made; /* monotonic: when the current one was */
};
#define TICKET_KEYS_INIT { .lock = PTHREAD_MUTEX_INITIALIZER }

/* The key to seal with. */
void ticket_keys_current(struct ticket_keys *, nsec_t now, struct ticket_key *out);

enum ticket_key_age { TICKET_KEY_UNKNOWN, TICKET_KEY_CURRENT, TICKET_KEY_PREVIOUS };
/* The key that a ticket was sealed with; PREVIOUS: to be replaced by a new ticket. */
enum ticket_key_age ticket_keys_find(struct ticket_keys *, nsec_t now, const uint8_t name[TICKET_NAME_SIZE], struct ticket_key *out);

#endif
