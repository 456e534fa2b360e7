#include "alerts/channel.h"

#include <string.h>

extern const struct channel_type channel_webhook;

const struct channel_type *const channel_types[] = { &channel_webhook, NULL };

const struct channel_type *channel_type_find(const char *name)
{
    for (const struct channel_type *const *type = channel_types; *type; type++)
        if (strcmp((*type)->name, name) == 0)
            return *type;
    return NULL;
}

bool channel_wants(const struct channel_conf *channel, const struct event *event)
{
    if (channel->events.n == 0)
        return event->severity >= SEVERITY_WARNING || event->recovery;
    for (size_t i = 0; i < channel->events.n; i++)
        if (event_type_matches(channel->events.items[i], event->type))
            return true;
    return false;
}
