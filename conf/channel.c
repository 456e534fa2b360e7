#include "conf/parts.h"
#include "conf/types.h"
#include "conf/words.h"

#include "alerts/channel.h"

#include <string.h>

static void preset_kind(struct loader *l, const struct conf_key *k, void *object)
{
    (void)l;
    *(const struct channel_type **)(void *)((char *)object + k->offset) = channel_type_find(k->fallback);
}

static void read_kind(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    const char *name = require_text(l, k, g->settings[0]);
    const struct channel_type *type = name ? channel_type_find(name) : NULL;
    struct words words = { .nearest.word = name };
    if (type)
        *(const struct channel_type **)(void *)((char *)object + k->offset) = type;
    if (!name || type)
        return;
    for (size_t i = 0; channel_types[i]; i++)
        words_offer(&words, channel_types[i]->name);
    words_refuse(l, given_place(g), "type of channel", &words);
}

const struct conf_type type_channel_kind = { "a string", "channel type", .preset = preset_kind, .read = read_kind };

static bool is_event_pattern(const char *s)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz_.*";
    return s[strspn(s, letters)] == '\0';
}

static void check_events(struct loader *l, const struct members *m, const struct channel_conf *channel)
{
    for (size_t i = 0; i < channel->events.n; i++)
        if (!is_event_pattern(channel->events.items[i]))
            conf_error(l, element_at(member(m, "events"), i).at,
                       "\"%s\" is no pattern of events such as \"tunnel.*\" or \"pool.critical\"", channel->events.items[i]);
}

void finish_channel(struct loader *l, const struct members *m, void *object)
{
    struct channel_conf *channel = object;
    char error[256] = "";
    check_events(l, m, channel);
    if (!channel->tls_verify)
        conf_warning(l, member_place(m, "tls_verify"),
                     "the receiver's certificate is not verified: anybody on the way can read and change the alerts");
    if (channel->url && strncasecmp(channel->url, "http://", 7) == 0 && channel->secret)
        conf_warning(l, member_place(m, "url"), "alerts are sent in plain HTTP: anybody on the way can read them");
    if (is_good(l, m) && !channel->type->check(channel, error))
        conf_error(l, m->at, "%s", error);
}
