#include "cli/run_command.h"

#include <ctype.h>
#include <string.h>

#define CA_FILE "penstock-ca.pem"
enum {
    SLOTS_LEAST = 2,            /* with a single address, cloudflared dials without a pause while it can't connect */
    CONNECTIONS_BY_ITSELF = 4   /* of cloudflared; more are asked for */
};

bool run_command_url_is_plain(const char *url)
{
    for (const char *p = url; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr(":/._-%~@+=,?[]", *p))
            return false;
    return *url;
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

void run_command_line(const struct run_command *r, struct text *out)
{
    text_add(out, "env TUNNEL_NO_PRECHECKS=true cloudflared tunnel --no-autoupdate"); /* a cloudflared before 2026.5 has no such option */
    for (size_t i = 0; i < count_slots(r); i++) {
        text_add(out, " --edge ");
        add_word(out, slot(r, i));
    }
    if (r->connections > CONNECTIONS_BY_ITSELF)
        text_addf(out, " --ha-connections %u", r->connections);
    text_addf(out, " --cacert " CA_FILE " --protocol http2 --retries 1 --cred-file %s.json run", r->id);
    if (r->url) {
        text_add(out, " --url ");
        add_word(out, r->url);
    }
    text_addf(out, " %s\n", r->id);
}

void run_command_yaml(const struct run_command *r, struct text *out)
{
    text_addf(out, "tunnel: %s\ncredentials-file: %s.json\nedge:\n", r->id, r->id);
    for (size_t i = 0; i < count_slots(r); i++)
        text_addf(out, "  - \"%s\"\n", slot(r, i));
    text_add(out, "cacert: " CA_FILE "\nprotocol: http2\nretries: 1\nno-prechecks: true\nno-autoupdate: true\n");
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
    text_add(out, "\nTUNNEL_CACERT=" CA_FILE
                  "\nTUNNEL_TRANSPORT_PROTOCOL=http2\nTUNNEL_RETRIES=1\nTUNNEL_NO_PRECHECKS=true\nNO_AUTOUPDATE=true\n");
    if (r->url)
        text_addf(out, "TUNNEL_URL=%s\n", r->url);
    text_addf(out, "TUNNEL_TOKEN=%s\n", r->token);
}

static void begin_file(struct text *out, const char *stem, const char *suffix)
{
    text_addf(out, "cat > %s%s <<'EOF'\n", stem, suffix);
}

static void end_file(struct text *out)
{
    if (out->n && out->p[out->n - 1] != '\n')
        text_add(out, "\n");
    text_add(out, "EOF\n");
}

static void add_file(struct text *out, const char *stem, const char *suffix, const char *content)
{
    begin_file(out, stem, suffix);
    text_add(out, content);
    end_file(out);
}

static void add_made_file(struct text *out, const struct run_command *r, const char *suffix,
                          void (*write)(const struct run_command *, struct text *))
{
    begin_file(out, r->name, suffix);
    write(r, out);
    end_file(out);
}

void run_command_script(const struct run_command *r, struct text *out)
{
    text_addf(out,
              "# Connects a cloudflared to the tunnel %s: paste it into a shell where the connector is to run, or pipe it to sh.\n"
              "# It holds the tunnel's secret.\n"
              "umask 077\n\n",
              r->name);
    add_file(out, CA_FILE, "", r->ca);
    add_file(out, r->id, ".json", r->credentials);
    text_addf(out, "\n# With a configuration file, as a service has it: cloudflared tunnel --config %s.yml run\n", r->name);
    add_made_file(out, r, ".yml", run_command_yaml);
    text_addf(out, "\n# With the environment, as a container has it: env $(cat %s.env) cloudflared tunnel run\n", r->name);
    add_made_file(out, r, ".env", run_command_environment);
    text_add(out, "\n# With options alone:\n");
    run_command_line(r, out);
}
