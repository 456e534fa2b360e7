#include "net/ticket.h"

#include "base/random.h"

#include <string.h>

/* Under the lock. After a long silence the previous key is too old as well. */
static void rotate(struct ticket_keys *keys, nsec_t now)
{
    if (keys->has_current && now - keys->made < TICKET_KEY_LIFE)
        return;
    keys->has_previous = keys->has_current && now - keys->made < 2 * TICKET_KEY_LIFE;
    if (keys->has_previous)
        keys->previous = keys->current;
    else
        explicit_bzero(&keys->previous, sizeof keys->previous);
    random_bytes(&keys->current, sizeof keys->current);
    keys->has_current = true;
    keys->made = now;
}

void ticket_keys_current(struct ticket_keys *keys, nsec_t now, struct ticket_key *out)
{
    pthread_mutex_lock(&keys->lock);
    rotate(keys, now);
    *out = keys->current;
    pthread_mutex_unlock(&keys->lock);
}

static bool is_named(const struct ticket_key *key, const uint8_t name[TICKET_NAME_SIZE])
{
    return memcmp(key->name, name, TICKET_NAME_SIZE) == 0;
}

enum ticket_key_age ticket_keys_find(struct ticket_keys *keys, nsec_t now, const uint8_t name[TICKET_NAME_SIZE], struct ticket_key *out)
{
    enum ticket_key_age age = TICKET_KEY_UNKNOWN;

    pthread_mutex_lock(&keys->lock);
    rotate(keys, now);
    if (is_named(&keys->current, name)) {
        age = TICKET_KEY_CURRENT;
        *out = keys->current;
    } else if (keys->has_previous && is_named(&keys->previous, name)) {
        age = TICKET_KEY_PREVIOUS;
        *out = keys->previous;
    }
    pthread_mutex_unlock(&keys->lock);
    return age;
}
