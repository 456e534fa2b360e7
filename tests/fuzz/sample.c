/* Samples of requests: whatever a file holds, it is refused with the line, or the daemon takes what came of it; and reading its sample again, written
 * out as lines of an access log, gives the same. One byte of options (how many clients and how much room), then the file. */
#include "balance/config.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/sample.h"
#include "conf/conf.h"
#include "control/simulation.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char CONFIG[] = "listeners = ( { address = \"127.0.0.1:8080\"; } );\n"
                             "pools = ( { name = \"p\"; endpoints = ( { name = \"a\"; address = \"http://127.0.0.1:1\"; } ); } );\n"
                             "load_balancers = ( { hostnames = [ \"app.test\" ]; default_pools = [ \"p\" ]; } );\n";

static void require(bool condition)
{
    if (!condition)
        abort();
}

static struct config *load(void)
{
    char path[] = "/tmp/penstock-fuzz-XXXXXX";
    struct conf_messages messages = { 0 };
    int fd = mkstemp(path);
    require(fd >= 0 && write(fd, CONFIG, sizeof CONFIG - 1) == (ssize_t)(sizeof CONFIG - 1));
    close(fd);
    struct config *config = conf_load(path, &messages);
    require(config);
    conf_messages_clear(&messages);
    unlink(path);
    simulation_attach(config, NULL);
    return config;
}

static bool read_sample(const void *data, size_t size, size_t max, size_t room, struct sample *s, char error[static SAMPLE_ERROR_SIZE])
{
    FILE *f = fmemopen((void *)(uintptr_t)data, size, "r");
    require(f);
    bool good = sample_read(f, "FILE", max, room, s, error);
    fclose(f);
    return good;
}

/* That it asks for nothing is the only thing that can be wrong with it. */
static void check_that_the_daemon_takes_it(struct config *config, json_t *clients)
{
    struct simulation_terms terms;
    char error[SIMULATION_ERROR_SIZE] = "";
    json_t *question = json_pack("{s:[s], s:O}", "down", "p", "clients", clients);
    struct simulation *x = simulation_ask(config_ref(config), question, &terms, error);
    require(x || strstr(error, "asks for nothing"));
    if (x)
        simulation_terms_clear(&terms);
    simulation_free(x);
    json_decref(question);
}

static const char *text_of(const json_t *client, const char *member, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(client, member));
    return text ? text : otherwise;
}

/* A log says neither how often, nor nothing of the method or the target. */
static void check_that_it_reads_alike(const json_t *client)
{
    struct sample again;
    char error[SAMPLE_ERROR_SIZE];
    json_t *line = json_pack("{s:s, s:s, s:s, s:s}", "client", text_of(client, "client", "unix"), "host", text_of(client, "host", ""), "target",
                             text_of(client, "path", "*"), "method", text_of(client, "method", "GET"));
    char *text = json_dumps(line, JSON_COMPACT);
    require(read_sample(text, strlen(text), 1, SIZE_MAX, &again, error) && again.lines == 1);
    const json_t *other = json_array_get(again.clients, 0);
    for (const char *const *member = (const char *const[]){ "client", "host", "path", NULL }; *member; member++)
        require(json_equal(json_object_get(client, *member), json_object_get(other, *member)) ||
                (!json_object_get(client, *member) && !json_object_get(other, *member)));
    require(strcmp(text_of(client, "method", "GET"), text_of(other, "method", "")) == 0);
    json_decref(again.clients);
    json_decref(line);
    free(text);
}

static void check(struct config *config, const struct sample *s, size_t max, size_t room)
{
    size_t n = json_array_size(s->clients), bytes = json_dumpb(s->clients, NULL, 0, JSON_COMPACT);
    require(n && n <= max && n <= s->lines && (bytes <= room + 1 || n == 1));
    check_that_the_daemon_takes_it(config, s->clients);
    for (size_t i = 0; i < n; i++)
        check_that_it_reads_alike(json_array_get(s->clients, i));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config *config;
    struct sample s;
    char error[SAMPLE_ERROR_SIZE] = "";
    if (size < 2)
        return 0;
    size_t max = 1U + data[0] % 16, room = 64U * (1U + data[0] / 16);
    if (!config)
        config = load();
    if (read_sample(data + 1, size - 1, max, room, &s, error)) {
        check(config, &s, max, room);
        json_decref(s.clients);
    } else {
        require(!s.clients && strncmp(error, "FILE:", 5) == 0);
        for (const char *p = error; *p; p++)
            require((unsigned char)*p >= ' ' && *p != 0x7f);
    }
    return 0;
}
