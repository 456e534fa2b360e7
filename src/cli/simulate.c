#include "balance/geoip.h"
#include "cli/client.h"
#include "cli/format.h"
#include "cli/sample.h"
#include "conf/conf.h"
#include "control/answer.h"
#include "control/simulation.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_SHOWN = 4, SAMPLE_SIZE_MAX = LOCAL_BODY_MAX - 64 * 1024 }; /* the rest of the question needs room too */

struct options {
    struct client_options client;
    bool json;
    struct option_values down, drain;
    const char *clients, *requests, *rate, *window, *config;
};

static const struct option_row rows[] = {
    { "down", '\0', "NAME", offsetof(struct options, down),
      "is lost: POOL/ENDPOINT (\"*\" for any characters), POOL, tunnel:NAME", OPTION_MANY },
    { "drain", '\0', "NAME", offsetof(struct options, drain),
      "is drained, likewise", OPTION_MANY },
    { "clients", '\0', "FILE", offsetof(struct options, clients),
      "whose requests come: an access log, or CLIENT [HOST [PATH [COUNT]]] a line; -: standard input", OPTION_OPTIONAL },
    { "requests", '\0', "N", offsetof(struct options, requests),
      "how many are tried, now and then each (default: 10000, more with many load balancers)", OPTION_OPTIONAL },
    { "rate", '\0', "N", offsetof(struct options, rate),
      "requests per second (default: what is measured)", OPTION_OPTIONAL },
    { "window", '\0', "SECONDS", offsetof(struct options, window),
      "how long traffic is measured (default: 2)", OPTION_OPTIONAL },
    { "config", 'c', "FILE", offsetof(struct options, config),
      "asks no daemon: this configuration, all of it healthy", OPTION_OPTIONAL },
    CLIENT_OPTION_ROWS(struct options),
    JSON_OPTION_ROW(struct options),
    { 0 },
};

/* --- for people --- */

static const struct table_column share_columns[] = {
    { "LOAD BALANCER", ALIGN_LEFT }, { "ENDPOINT", ALIGN_LEFT }, { "NOW", ALIGN_RIGHT }, { "THEN", ALIGN_RIGHT }, { "CHANGE", ALIGN_RIGHT },
};
static const struct table_column load_columns[] = {
    { "ENDPOINT", ALIGN_LEFT }, { "REQ/S NOW", ALIGN_RIGHT }, { "THEN", ALIGN_RIGHT }, { "LATENCY", ALIGN_RIGHT }, { "IN FLIGHT THEN", ALIGN_RIGHT },
    { "AT MOST", ALIGN_RIGHT }, { "MAX", ALIGN_RIGHT },
};

/* What becomes of requests that no endpoint gets. */
static const struct {
    const char *outcome, *words;
} unsent[] = {
    { "lost", "(sent to what is down: fails)" }, { "nobody", "(nobody: 503)" }, { "waited_in_vain", "(waited in vain: 503)" },
    { "rule_response", "(answered by the rule)" }, { "disabled", "(disabled: 503)" },
};

static double number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static void add_share(struct table *t, const json_t *row)
{
    double now = number(row, "now"), then = number(row, "then"), change = then - now;
    table_add(t, TONE_PLAIN, format_string(row, "load_balancer"));
    table_add(t, TONE_PLAIN, format_string(row, "endpoint"));
    table_addf(t, TONE_PLAIN, "%.1f %%", now * 100);
    table_addf(t, TONE_PLAIN, "%.1f %%", then * 100);
    if (fabs(change) < 0.0005)
        table_add(t, TONE_PLAIN, "");
    else
        table_addf(t, json_is_true(json_object_get(row, "bad")) && change > 0 ? TONE_BAD : TONE_PLAIN, "%+.1f", change * 100);
}

static json_t *share_row(const char *name, const char *endpoint, const json_t *shares, bool bad)
{
    return json_pack("{s:s, s:s, s:f, s:f, s:b}", "load_balancer", name, "endpoint", endpoint, "now", number(shares, "now"), "then", number(shares, "then"),
                     "bad", (int)bad);
}

/* Its name, with the rule's, in the first of its rows. */
static void name_balancer(const json_t *lb, struct text *out)
{
    const char *rule = format_string(lb, "rule");
    text_add(out, format_string(lb, "load_balancer"));
    if (rule)
        text_addf(out, ", rule %s", rule);
    else if (json_is_integer(json_object_get(lb, "rule_line")))
        text_addf(out, ", rule of line %.0f", number(lb, "rule_line"));
}

static void add_balancer_rows(json_t *list, const json_t *lb)
{
    const json_t *endpoints = json_object_get(lb, "endpoints"), *outcomes = json_object_get(lb, "outcomes"), *e;
    struct text name = { 0 };
    size_t i;
    bool named = false;
    name_balancer(lb, &name);
    json_array_foreach (endpoints, i, e) {
        json_array_append_new(list, share_row(named ? " " : name.p, format_string(e, "endpoint"), e, false));
        named = true;
    }
    for (i = 0; i < sizeof unsent / sizeof *unsent; i++) {
        const json_t *shares = json_object_get(outcomes, unsent[i].outcome);
        if (!(number(shares, "now") > 0) && !(number(shares, "then") > 0))
            continue;
        json_array_append_new(list, share_row(named ? " " : name.p, unsent[i].words, shares, i < 3));
        named = true;
    }
    text_clear(&name);
}

static void print_shares(const json_t *answer)
{
    json_t *list = json_array();
    const json_t *lb;
    size_t i;
    json_array_foreach (json_object_get(answer, "load_balancers"), i, lb)
        add_balancer_rows(list, lb);
    format_print_table(share_columns, sizeof share_columns / sizeof *share_columns, list, add_share, "No load balancer serves any of these requests.");
    json_decref(list);
}

static void add_rate(struct table *t, const json_t *value)
{
    if (json_is_number(value))
        table_addf(t, TONE_PLAIN, json_number_value(value) < 10 ? "%.1f" : "%.0f", json_number_value(value));
    else
        table_add(t, TONE_PLAIN, NULL);
}

static void add_whole(struct table *t, const json_t *value)
{
    if (json_is_number(value))
        table_addf(t, TONE_PLAIN, "%.0f", json_number_value(value));
    else
        table_add(t, TONE_PLAIN, NULL);
}

static bool is_guess(const json_t *e)
{
    return strcmp(format_string(e, "latency_from"), "traffic") != 0;
}

static void add_load(struct table *t, const json_t *e)
{
    const json_t *rate = json_object_get(e, "requests_per_second");
    const char *assumed = format_string(e, "assumed");
    table_addf(t, TONE_PLAIN, "%s%s%s%s", format_string(e, "endpoint"), assumed ? " (" : "", assumed ? assumed : "", assumed ? ")" : "");
    add_rate(t, json_object_get(rate, "now"));
    add_rate(t, json_object_get(rate, "then"));
    if (is_guess(e) && assumed)
        table_add(t, TONE_PLAIN, NULL);
    else if (is_guess(e))
        format_add_guessed_milliseconds(t, json_object_get(e, "latency_ms"));
    else
        format_add_milliseconds(t, json_object_get(e, "latency_ms"));
    add_rate(t, json_object_get(json_object_get(e, "in_flight"), "then"));
    add_whole(t, json_object_get(json_object_get(e, "most_in_flight"), "then"));
    if (json_is_integer(json_object_get(e, "max_in_flight")))
        table_addf(t, json_is_true(json_object_get(e, "full_then")) ? TONE_BAD : TONE_PLAIN, "%.0f%s", number(e, "max_in_flight"),
                   json_is_true(json_object_get(e, "full_then")) ? " (full)" : "");
    else
        table_add(t, TONE_PLAIN, NULL);
}

/* The first of them, where they are many. */
static void add_list(struct text *out, const json_t *names)
{
    size_t n = json_array_size(names), shown = n > NAMES_SHOWN + 1 ? NAMES_SHOWN : n;
    for (size_t i = 0; i < shown; i++)
        text_addf(out, "%s%s", i == 0 ? "" : i + 1 == n ? " and " : ", ", json_string_value(json_array_get(names, i)));
    if (shown < n)
        text_addf(out, " and %zu more", n - shown);
}

static void add_names(struct text *out, const json_t *names, const char *state)
{
    if (!json_array_size(names))
        return;
    text_add(out, out->n ? ", and " : "If ");
    add_list(out, names);
    text_addf(out, " %s %s", json_array_size(names) == 1 ? "is" : "are", state);
}

static bool has_rate(const json_t *answer)
{
    return number(json_object_get(answer, "rate"), "requests_per_second") > 0;
}

static void add_rate_words(struct text *out, const json_t *rate)
{
    double per_second = number(rate, "requests_per_second");
    bool measured = json_is_number(json_object_get(rate, "measured_over_s"));
    if (per_second > 0)
        text_addf(out, " at %.*f per second%s.\n", per_second < 10 ? 1 : 0, per_second, measured ? ", as measured" : "");
    else
        text_addf(out, ".\n%s each request is over before the next comes.\n", measured ? "There is no traffic at the moment:" : "Without a rate (--rate)");
}

static void print_heading(const json_t *answer)
{
    const json_t *sample = json_object_get(answer, "sample");
    bool given = strcmp(format_string(sample, "source"), "given") == 0;
    struct text text = { 0 };
    add_names(&text, json_object_get(answer, "down"), "down");
    add_names(&text, json_object_get(answer, "drained"), "drained");
    text_addf(&text, ":\n%.0f requests of %.0f %s", number(json_object_get(sample, "requests"), "then"), number(sample, "clients"), given ? "lines of the sample" : "made-up clients");
    add_rate_words(&text, json_object_get(answer, "rate"));
    if (!json_is_true(json_object_get(answer, "complete")))
        text_add(&text, "It took too long and was ended early: ask for fewer with --requests.\n");
    text_add(&text, "\n");
    format_print(&text);
}

static void note_pool(struct text *out, const json_t *pool)
{
    if (strcmp(format_string(pool, "state_now"), format_string(pool, "state_then")) == 0 && !json_is_true(json_object_get(pool, "falls_below_minimum")))
        return;
    text_addf(out, "Pool %s: %s -> %s, ", format_string(pool, "pool"), format_string(pool, "state_now"), format_string(pool, "state_then"));
    terminal_add_text(out, slice_of(format_string(pool, "reason_then")), 0);
    if (json_is_true(json_object_get(pool, "falls_below_minimum")) && number(pool, "minimum_endpoints") > 1)
        text_addf(out, ": below its minimum of %.0f", number(pool, "minimum_endpoints"));
    text_add(out, "\n");
}

/* Without the state that it begins with. */
static const char *reason_then(const json_t *lb)
{
    const char *reason = format_string(lb, "reason_then"), *state = format_string(lb, "state_then");
    size_t n = strlen(state);
    return strncmp(reason, state, n) == 0 && reason[n] == ':' ? reason + n + 2 : reason;
}

static void note_balancer(struct text *out, const json_t *lb)
{
    if (strcmp(format_string(lb, "state_now"), format_string(lb, "state_then")) == 0)
        return;
    name_balancer(lb, out);
    text_addf(out, ": %s -> %s, ", format_string(lb, "state_now"), format_string(lb, "state_then"));
    terminal_add_text(out, slice_of(reason_then(lb)), 0);
    text_add(out, "\n");
}

static bool shows_guess(const json_t *e)
{
    return is_guess(e) && !format_string(e, "assumed");
}

/* Below the table that has them. */
static void note_guesses(struct text *out, const json_t *endpoints)
{
    const json_t *e;
    size_t i;
    json_array_foreach (endpoints, i, e)
        if (shows_guess(e)) {
            text_add(out, "~ No request to it was timed: a guess from its probes and from other endpoints.\n");
            return;
        }
}

static void note_out_already(struct text *out, const json_t *endpoints)
{
    json_t *names = json_array();
    const json_t *e;
    size_t i;
    json_array_foreach (endpoints, i, e)
        if (format_string(e, "assumed") && json_is_true(json_object_get(e, "out_already")))
            json_array_append(names, json_object_get(e, "endpoint"));
    if (json_array_size(names)) {
        add_list(out, names);
        text_addf(out, " %s out of service already.\n", json_array_size(names) == 1 ? "is" : "are");
    }
    json_decref(names);
}

/* Requests that no load balancer's rows speak of. */
static void note_strays(struct text *out, const json_t *outcomes)
{
    double none = number(json_object_get(outcomes, "no_load_balancer"), "then"), malformed = number(json_object_get(outcomes, "malformed"), "then");
    if (none > 0)
        text_addf(out, "%.1f %% of these requests are for hosts of no load balancer (404).\n", none * 100);
    if (malformed > 0)
        text_addf(out, "%.1f %% of these requests are such as no client can send.\n", malformed * 100);
}

static void print_notes(const json_t *answer)
{
    const json_t *one, *unanswered = json_object_get(answer, "unanswered"), *endpoints = json_object_get(answer, "endpoints");
    struct text text = { 0 };
    size_t i;
    if (has_rate(answer))
        note_guesses(&text, endpoints);
    text_add(&text, "\n");
    note_out_already(&text, endpoints);
    json_array_foreach (json_object_get(answer, "pools"), i, one)
        note_pool(&text, one);
    json_array_foreach (json_object_get(answer, "load_balancers"), i, one)
        note_balancer(&text, one);
    note_strays(&text, json_object_get(answer, "outcomes"));
    if (number(unanswered, "then") > 0)
        text_addf(&text, "%.1f %% of these requests would have no answer from any endpoint (now: %.1f %%).\n", number(unanswered, "then") * 100,
                  number(unanswered, "now") * 100);
    else
        text_add(&text, "Every request would still find an endpoint.\n");
    format_print(&text);
}

static void print_answer(const json_t *answer)
{
    print_heading(answer);
    print_shares(answer);
    if (has_rate(answer)) {
        putchar('\n');
        format_print_table(load_columns, sizeof load_columns / sizeof *load_columns, json_object_get(answer, "endpoints"), add_load, "");
    }
    print_notes(answer);
}

/* --- the question; false after an error message --- */

static bool add_number(json_t *question, const char *name, const char *text)
{
    char *end;
    if (!text)
        return true;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value))
        return cli_usage_error("--%s: %s is no number", name, text) == EXIT_YES;
    json_object_set_new(question, name, json_real(value));
    return true;
}

static bool add_sample(json_t *question, const char *path)
{
    char error[SAMPLE_ERROR_SIZE];
    struct sample sample;
    bool is_input = path && strcmp(path, "-") == 0;
    if (!path)
        return true;
    FILE *f = is_input ? stdin : fopen(path, "re");
    if (!f)
        return cli_usage_error("%s: %s", path, strerror(errno)) == EXIT_YES;
    bool good = sample_read(f, is_input ? "standard input" : path, SIMULATION_CLIENTS_MAX, SAMPLE_SIZE_MAX, &sample, error);
    if (!is_input)
        fclose(f);
    if (!good)
        return cli_usage_error("%s", error) == EXIT_YES;
    if (json_array_size(sample.clients) < sample.lines)
        fprintf(stderr, "penstock: %zu of %llu requests were drawn\n", json_array_size(sample.clients), sample.lines);
    if (sample.without)
        fprintf(stderr, "penstock: %llu lines have no request in them and were left out\n", sample.without);
    json_object_set_new(question, "clients", sample.clients);
    return true;
}

/* "a,b" is two. */
static json_t *names_json(const struct option_values *values, char *const *more)
{
    json_t *out = json_array();
    for (size_t i = 0; i < values->n; i++)
        for (const char *name = values->items[i]; *name; name += strspn(name, ",")) {
            size_t n = strcspn(name, ",");
            json_array_append_new(out, json_stringn(name, n));
            name += n;
        }
    for (; more && *more; more++)
        json_array_append_new(out, json_string(*more));
    return out;
}

/* NULL after an error message. */
static json_t *make_question(const struct options *o, char *const *operands)
{
    json_t *question = json_pack("{s:o, s:o}", "down", names_json(&o->down, operands), "drain", names_json(&o->drain, NULL));
    if (!json_array_size(json_object_get(question, "down")) && !json_array_size(json_object_get(question, "drain")))
        cli_usage_error("say who is lost: --down POOL/ENDPOINT, or --drain; see penstock simulate --help");
    else if (add_number(question, "requests", o->requests) && add_number(question, "rate", o->rate) && add_number(question, "window", o->window) &&
             add_sample(question, o->clients))
        return question;
    json_decref(question);
    return NULL;
}

/* --- the call --- */

static int ask_daemon(const struct options *o, const json_t *question, json_t **answer)
{
    struct client *client = client_new(&o->client);
    int result = client ? client_send(client, "POST", "/v1/simulate", question, answer) : EXIT_USAGE;
    client_close(client);
    return result;
}

static struct config *load(const char *path)
{
    struct conf_messages messages = { 0 };
    struct text text = { 0 };
    struct config *config = conf_load(path, &messages);
    conf_messages_print(&messages, &text);
    if (!config && text.n)
        fwrite(text.p, 1, text.n, stderr);
    text_clear(&text);
    conf_messages_clear(&messages);
    return config;
}

/* Without a daemon there is no traffic either. */
static int ask_nobody(const struct options *o, const json_t *question, json_t **answer)
{
    char error[SIMULATION_ERROR_SIZE];
    struct simulation_terms terms;
    struct geoip_slot places;
    struct config *config = load(o->config);
    if (!config)
        return EXIT_USAGE;
    simulation_attach(config, NULL);
    double *traffic = calloc(config->n_endpoints + 1, sizeof *traffic);
    geoip_slot_init(&places);
    geoip_slot_set(&places, config->geoip.opened ? geoip_ref(config->geoip.opened) : NULL);
    struct simulation *x = traffic ? simulation_ask(config, question, &terms, error) : NULL;
    if (x) {
        x->geoip = &places;
        simulation_set_traffic(x, &terms, traffic, false);
        simulate(x);
        *answer = simulation_json(x, &terms);
        simulation_terms_clear(&terms);
        simulation_free(x);
    } else {
        cli_usage_error("%s", error);
    }
    geoip_slot_clear(&places);
    free(traffic);
    return *answer ? EXIT_YES : EXIT_USAGE;
}

static int run(const struct command *self, const void *arg, char *const *operands)
{
    const struct options *o = arg;
    json_t *answer = NULL, *question = make_question(o, operands);
    (void)self;
    if (!question)
        return EXIT_USAGE;
    int result = o->config ? ask_nobody(o, question, &answer) : ask_daemon(o, question, &answer);
    json_decref(question);
    if (result == EXIT_NO) { /* which is an answer here, and there is none */
        result = EXIT_USAGE;
    } else if (result == EXIT_YES) {
        result = number(json_object_get(answer, "unanswered"), "then") > 0 ? EXIT_NO : EXIT_YES;
        if (o->json)
            format_print_json(json_incref(answer));
        else
            print_answer(answer);
    }
    json_decref(answer);
    return result;
}

const struct command simulate_command = {
    .name = "simulate",
    .operands = "[NAME]…",
    .operands_max = OPTION_VALUES_MAX,
    .help = "what would become of the traffic if endpoints were lost or drained",
    .notes = "Each NAME is lost, as with --down. Requests that nobody sent are led through what directs and chooses for others, in a copy of the daemon's "
             "state: nothing is counted. Exit status 1 if some would find no endpoint, 2 if there is no answer.",
    .options = rows,
    .options_size = sizeof(struct options),
    .run = run,
};
