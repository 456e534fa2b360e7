#include "control/control.h"

#include "control/edge.h"
#include "control/notify.h"
#include "control/publish.h"
#include "control/sockets.h"
#include "control/tell.h"
#include "control/tunnels.h"
#include "proxy/access_log.h"

#include <stdio.h>
#include <string.h>

static bool differs(const char *a, const char *b)
{
    return a != b && (!a || !b || strcmp(a, b) != 0);
}

static void warn(struct conf_messages *messages, const struct config *config, const char *what)
{
    conf_messages_add(messages, CONF_WARNING, &(struct source){ config->file, 0 }, "%s changed: that takes a restart", what);
}

/* What is settled at the start stays as it is. */
static void keep_what_is_fixed(const struct control *control, struct config *config, struct conf_messages *messages)
{
    if (config->workers != control->config->workers)
        warn(messages, config, "`workers`");
    if (differs(config->user, control->config->user))
        warn(messages, config, "`user`");
    if (differs(config->state_dir, control->config->state_dir))
        warn(messages, config, "`state_dir`");
    if (differs(config->resolver_servers, control->config->resolver_servers))
        warn(messages, config, "the resolver's servers");
    if (!differs(config->admin.socket, control->config->admin.socket) &&
        (config->admin.mode != control->config->admin.mode || differs(config->admin.group, control->config->admin.group)))
        warn(messages, config, "the mode or group of the admin socket");
    config->workers = (unsigned)control->n_workers;
}

static void note_first_error(struct control *control, const struct conf_messages *messages)
{
    for (size_t i = 0; i < messages->n; i++) {
        struct text text = { 0 };
        if (messages->items[i].severity != CONF_ERROR)
            continue;
        conf_message_print(&messages->items[i], &text);
        snprintf(control->last_rejection, sizeof control->last_rejection, "%s", text.p);
        text_clear(&text);
        return;
    }
}

/* Only where the path changed: the file in use may have been rotated under its name, which SIGUSR1 is for. */
static bool move_access_log(struct control *control, const struct config *config, struct conf_messages *messages)
{
    char error[256];
    if (!differs(config->access_log.path, control->config->access_log.path) || log_sink_move(control->access_log, &config->access_log, error))
        return true;
    conf_messages_add(messages, CONF_ERROR, &(struct source){ config->file, 0 }, "%s", error);
    return false;
}

/* Sockets, certificate of the edge, log: all, or nothing. */
static bool prepare(struct control *control, const struct config *config, struct conf_messages *messages)
{
    if (!sockets_prepare(control->sockets, config, messages))
        return false;
    if (edge_prepare(control->edge, config, messages) && move_access_log(control, config, messages))
        return true;
    edge_abandon(control->edge);
    sockets_abandon(control->sockets);
    return false;
}

struct known_tunnels {
    struct tunnels *registry;
    const struct config *config;
};

static bool tunnel_exists(void *arg, const char *id_or_name)
{
    const struct known_tunnels *known = arg;
    return tunnels_find(known->registry, id_or_name) || config_find_edge_tunnel(known->config, id_or_name);
}

static struct config *load(struct control *control, struct conf_messages *messages)
{
    struct config *config = conf_load(control->config_path, messages);
    if (config)
        config = tunnels_join(control->registry, config, messages);
    if (!config)
        return NULL;
    keep_what_is_fixed(control, config, messages);
    conf_warn_of_tunnels(config, tunnel_exists, &(struct known_tunnels){ control->registry, config }, messages);
    if (prepare(control, config, messages))
        return config;
    config_unref(config);
    return NULL;
}

struct config *control_remake_config(struct control *control, struct conf_messages *messages)
{
    struct config *config = tunnels_join(control->registry, config_ref(control->config), messages);
    if (config != control->config)
        return config;
    config_unref(config);
    return conf_join(control->config, NULL, 0, messages); /* the same, for its endpoints to find their tunnels */
}

bool control_rejoin(struct control *control, struct conf_messages *messages)
{
    struct conf_messages known = { 0 }; /* what was said of this file when it came into force */
    struct config *config = control_remake_config(control, messages);
    if (!config)
        return false;
    keep_what_is_fixed(control, config, &known);
    conf_messages_clear(&known);
    publish(control, config);
    return true;
}

bool control_reload(struct control *control, struct conf_messages *messages)
{
    if (control->stopping) {
        conf_messages_add(messages, CONF_ERROR, &(struct source){ control->config_path, 0 }, "the daemon is stopping");
        return false;
    }
    if (control->listening)
        notify_reloading();
    struct config *config = load(control, messages);
    if (config) {
        publish(control, config);
        tunnels_push_again(control->registry);
        tell_reloaded(control, messages);
        control->last_rejection[0] = '\0';
    } else {
        note_first_error(control, messages);
        tell_rejected(control, messages);
    }
    if (control->listening)
        notify_ready(config ? "serving" : "serving; the last configuration was refused");
    return config;
}
