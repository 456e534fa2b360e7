#include "cli/run_command.h"

#include <ctype.h>
#include <string.h>

#define CA_FILE "penstock-ca.pem"
enum {
    SLOTS_LEAST = 2,            /* with a single address, cloudflared dials without a pause while it can't connect */
    CONNECTIONS_BY_ITSELF = 4   /* of cloudflared; more are asked for */
};

bool run_command_is_plain(const char *text)
{
    for (const char *p = text; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr(":/._-%~@+=,?[]", *p))
            return false;
    return *text;
}

static size_t count_slots(const struct run_command *r)
{
    size_t wanted = r->connections < SLOTS_LEAST ? SLOTS_LEAST : r->connections;
    return r->n_edge < wanted ? wanted : r->n_edge;
}

static const char *slot(const struct run_command *r, size_t i)
{
    return r->edge[i % r->n_edge];
}

/* A shell would take brackets and question marks for a pattern. */
static void add_word(struct text *out, const char *word)
{
    const char *quote = strpbrk(word, "[]?~=") ? "'" : "";
    text_addf(out, "%s%s%s", quote, word, quote);
}

static void add_path(struct text *out, const char *folder, const char *stem, const char *suffix)
{
    text_addf(out, "%s%s%s%s", folder ? folder : "", folder ? "/" : "", stem, suffix);
}

/* In quotes where there is a folder, whose name a shell might take apart. */
static void add_path_word(struct text *out, const struct run_command *r, const char *stem, const char *suffix)
{
    const char *quote = r->folder ? "\"" : "";
    text_add(out, quote);
    add_path(out, r->folder, stem, suffix);
    text_add(out, quote);
}

static void add_absolute_path(struct text *out, const struct run_command *r, const char *stem, const char *suffix)
{
    add_path(out, r->folder ? r->folder : r->here, stem, suffix);
}

void run_command_line(const struct run_command *r, struct text *out)
{
    text_add(out, "env TUNNEL_NO_PRECHECKS=true cloudflared tunnel --no-autoupdate"); /* a cloudflared before 2026.5 has no such option */
    for (size_t i = 0; i < count_slots(r); i++) {
        text_add(out, " --edge ");
        add_word(out, slot(r, i));
    }
    if (r->connections > CONNECTIONS_BY_ITSELF)
        text_addf(out, " --ha-connections %u", r->connections);
    text_add(out, " --cacert ");
    add_path_word(out, r, CA_FILE, "");
    text_add(out, " --protocol http2 --retries 1 --cred-file ");
    add_path_word(out, r, r->id, ".json");
    text_add(out, " run");
    if (r->url) {
        text_add(out, " --url ");
        add_word(out, r->url);
    }
    text_addf(out, " %s\n", r->id);
}

void run_command_yaml(const struct run_command *r, struct text *out)
{
    text_addf(out, "tunnel: %s\ncredentials-file: \"", r->id);
    add_absolute_path(out, r, r->id, ".json");
    text_add(out, "\"\nedge:\n");
    for (size_t i = 0; i < count_slots(r); i++)
        text_addf(out, "  - \"%s\"\n", slot(r, i));
    text_add(out, "cacert: \"");
    add_absolute_path(out, r, CA_FILE, "");
    text_add(out, "\"\nprotocol: http2\nretries: 1\nno-prechecks: true\nno-autoupdate: true\n");
    if (r->connections > CONNECTIONS_BY_ITSELF)
        text_addf(out, "ha-connections: %u\n", r->connections);
    if (r->url)
        text_addf(out, "ingress:\n  - service: \"%s\"\n", r->url);
}

void run_command_environment(const struct run_command *r, struct text *out)
{
    text_add(out, "TUNNEL_EDGE=");
    for (size_t i = 0; i < count_slots(r); i++)
        text_addf(out, "%s%s", i ? "," : "", slot(r, i));
    text_add(out, "\nTUNNEL_CACERT=");
    add_absolute_path(out, r, CA_FILE, "");
    text_add(out, "\nTUNNEL_TRANSPORT_PROTOCOL=http2\nTUNNEL_RETRIES=1\nTUNNEL_NO_PRECHECKS=true\nNO_AUTOUPDATE=true\n");
    if (r->url)
        text_addf(out, "TUNNEL_URL=%s\n", r->url);
    text_addf(out, "TUNNEL_TOKEN=%s\n", r->token);
}

/* --- the script --- */

static void begin_file(struct text *out, const struct run_command *r, const char *stem, const char *suffix, const char *end)
{
    text_add(out, "cat > ");
    add_path_word(out, r, stem, suffix);
    text_addf(out, " <<%s\n", end);
}

static void end_file(struct text *out)
{
    if (out->n && out->p[out->n - 1] != '\n')
        text_add(out, "\n");
    text_add(out, "EOF\n");
}

static void add_file(struct text *out, const struct run_command *r, const char *stem, const char *suffix, const char *content)
{
    begin_file(out, r, stem, suffix, "'EOF'");
    text_add(out, content);
    end_file(out);
}

/* The shell says in it where it is. */
static void add_made_file(struct text *out, const struct run_command *r, const char *suffix,
                          void (*write)(const struct run_command *, struct text *))
{
    struct run_command there = *r;
    there.here = "$PWD";
    begin_file(out, r, r->name, suffix, "EOF");
    write(&there, out);
    end_file(out);
}

void run_command_script(const struct run_command *r, struct text *out)
{
    text_addf(out,
              "# Connects a cloudflared to the tunnel %s: paste it into a shell where the connector is to run, or pipe it to sh.\n"
              "# It holds the tunnel's secret.\n"
              "umask 077\n\n",
              r->name);
    if (r->folder)
        text_addf(out, "mkdir -p \"%s\"\n", r->folder);
    add_file(out, r, CA_FILE, "", r->ca);
    add_file(out, r, r->id, ".json", r->credentials);
    text_add(out, "\n# With a configuration file, as a service has it: cloudflared tunnel --config ");
    add_path_word(out, r, r->name, ".yml");
    text_add(out, " run\n");
    add_made_file(out, r, ".yml", run_command_yaml);
    text_add(out, "\n# With the environment, as a container has it: env $(cat ");
    add_path_word(out, r, r->name, ".env");
    text_add(out, ") cloudflared tunnel run\n");
    add_made_file(out, r, ".env", run_command_environment);
    text_add(out, "\n# With options alone:\n");
    run_command_line(r, out);
}
