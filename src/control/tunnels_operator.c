/* What the operator says: makes and deletes tunnels, drains and weighs connectors, drops their connections. */
#include "control/registry.h"

#include "base/log.h"
#include "base/random.h"

#include <stdio.h>
#include <strings.h>

/* --- making and deleting --- */

static enum tunnels_result fail(char error[256], const char *why)
{
    snprintf(error, 256, "%s", why);
    return TUNNELS_FAILED;
}

static void make_credentials(const char *account, struct slice secret, struct credentials *out)
{
    *out = (struct credentials){ .secret_size = secret.n ? secret.n : TUNNEL_SECRET_MIN };
    snprintf(out->account, sizeof out->account, "%s", account);
    uuid_make(out->tunnel);
    if (secret.n)
        memcpy(out->secret, secret.p, secret.n);
    else
        random_bytes(out->secret, out->secret_size);
}

static enum tunnels_result keep_new(struct tunnels *t, const char *name, const struct credentials *credentials, char error[256])
{
    struct tunnel_file file = { .credentials = *credentials, .created = t->wall() };
    snprintf(file.name, sizeof file.name, "%s", name);
    bool kept = tunnel_file_write(t->control->state_dir, &file, error);
    credentials_clear(&file.credentials);
    if (!kept)
        return TUNNELS_FAILED;
    struct tunnel_entry *e = registry_add(t, credentials->tunnel, name);
    e->credentials = *credentials;
    e->created = file.created;
    e->unsaved = true; /* since when it has no connector */
    registry_make_restless(e);
    registry_set_ingress(e, config_find_ingress(t->control->config, e->tunnel->id, name));
    log_notice("operator", "tunnel %s is made: %s", name, e->tunnel->id);
    registry_came(e);
    return TUNNELS_DONE;
}

enum tunnels_result tunnels_create(struct tunnels *t, const char *name, const char *account, struct slice secret,
                                   struct credentials *out, char error[256])
{
    error[0] = '\0';
    if (!account)
        account = TUNNELS_ACCOUNT;
    if (!tunnel_name_is_valid(name))
        return TUNNELS_BAD_NAME;
    if (registry_find(t, name))
        return TUNNELS_EXISTS;
    if (!account_tag_is_valid(slice_of(account)))
        return fail(error, "an account is 1 to 64 letters, digits, - and _");
    if (!t->control->state_dir)
        return fail(error,
                    "there is no state directory to keep a tunnel in: give --state-dir, or put the tunnel into the configuration");
    if (secret.n && (secret.n < TUNNEL_SECRET_MIN || secret.n > TUNNEL_SECRET_MAX))
        return fail(error, "a secret is 32 to 128 bytes");
    make_credentials(account, secret, out);
    enum tunnels_result result = keep_new(t, name, out, error);
    if (result != TUNNELS_DONE)
        credentials_clear(out);
    return result;
}

enum tunnels_result tunnels_delete(struct tunnels *t, const char *id_or_name, bool force, char error[256])
{
    struct tunnel_entry *e = registry_find(t, id_or_name);
    error[0] = '\0';
    if (!e)
        return TUNNELS_NOT_FOUND;
    if (e->in_file)
        return TUNNELS_IN_FILE;
    if (e->n_lines && !force)
        return TUNNELS_CONNECTED;
    if (t->control->state_dir && !tunnel_file_remove(t->control->state_dir, e->tunnel->id, error))
        return TUNNELS_FAILED;
    log_notice("operator", "tunnel %s (%s) is deleted", e->tunnel->name, e->tunnel->id);
    registry_went(e);
    registry_delete(e, "the tunnel was deleted");
    return TUNNELS_DONE;
}

enum tunnels_result tunnels_credentials(struct tunnels *t, const char *id_or_name, struct credentials *out, char path[4096])
{
    const struct tunnel_entry *e = registry_find(t, id_or_name);
    const char *dir = t->control->state_dir;
    path[0] = '\0';
    if (!e)
        return TUNNELS_NOT_FOUND;
    *out = e->credentials;
    if (!e->in_file && dir)
        tunnel_file_path(dir, e->tunnel->id, path);
    return TUNNELS_DONE;
}

/* --- connectors --- */

/* NULL: all, which is always fine. */
static bool knows_connector(struct tunnel_entry *e, const char *connector)
{
    return !connector || registry_connector(e, connector) || tunnel_memory_find(&e->memory, connector);
}

enum tunnels_result tunnels_cleanup(struct tunnels *t, const char *id_or_name, const char *connector)
{
    struct tunnel_entry *e = registry_find(t, id_or_name);
    if (!e || !knows_connector(e, connector))
        return TUNNELS_NOT_FOUND;
    log_notice("operator", "tunnel %s: connections of %s%s are dropped", e->tunnel->name,
               connector ? "connector " : "all connectors", connector ? connector : "");
    registry_close_all(e, connector, "dropped by the operator");
    return TUNNELS_DONE;
}

/* Where nothing is said any more, nothing is to be remembered. */
static void forget_empty_words(struct tunnel_memory *m)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < m->n_words; i++)
        if (m->words[i].drained || m->words[i].weight != 1)
            m->words[kept++] = m->words[i];
    m->n_words = kept;
}

static void apply_words(struct tunnel_entry *e)
{
    forget_empty_words(&e->memory);
    for (unsigned i = 0; i < e->n_connectors; i++)
        registry_connector_apply_word(e, e->connectors[i]);
    registry_save(e);
    registry_usability_changed(e);
}

static void drain_all(struct tunnel_memory *m, bool drained)
{
    m->drained = drained;
    for (unsigned i = 0; i < m->n_words && !drained; i++)
        m->words[i].drained = false;
}

/* One is let back in while all are out: from then on it is said of each other by name. */
static void except(struct tunnel_entry *e)
{
    for (unsigned i = 0; i < e->n_connectors; i++)
        tunnel_memory_make(&e->memory, e->connectors[i]->shared->id)->drained = true;
    e->memory.drained = false;
}

enum tunnels_result tunnels_drain(struct tunnels *t, const char *id_or_name, const char *connector, bool drained)
{
    struct tunnel_entry *e = registry_find(t, id_or_name);
    if (!e || !knows_connector(e, connector))
        return TUNNELS_NOT_FOUND;
    log_notice("operator", "tunnel %s: %s%s %s", e->tunnel->name, connector ? "connector " : "all connectors",
               connector ? connector : "", drained ? "drained" : "used again");
    if (!connector) {
        drain_all(&e->memory, drained);
    } else {
        if (!drained && e->memory.drained)
            except(e);
        tunnel_memory_make(&e->memory, connector)->drained = drained;
    }
    apply_words(e);
    return TUNNELS_DONE;
}

enum tunnels_result tunnels_weigh(struct tunnels *t, const char *id_or_name, const char *connector, double weight)
{
    struct tunnel_entry *e = registry_find(t, id_or_name);
    if (!e || !knows_connector(e, connector))
        return TUNNELS_NOT_FOUND;
    if (!isfinite(weight) || weight < 0)
        return TUNNELS_FAILED;
    log_notice("operator", "tunnel %s: weight %g for %s%s", e->tunnel->name, weight, connector ? "connector " : "all connectors",
               connector ? connector : "");
    if (connector)
        tunnel_memory_make(&e->memory, connector)->weight = weight;
    for (unsigned i = 0; !connector && i < e->n_connectors; i++)
        tunnel_memory_make(&e->memory, e->connectors[i]->shared->id)->weight = weight;
    apply_words(e);
    return TUNNELS_DONE;
}
