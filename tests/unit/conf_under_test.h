/* Configurations written by tests into their folder, and loaded. Brings cmocka. */
#ifndef PENSTOCK_UNIT_CONF_UNDER_TEST_H
#define PENSTOCK_UNIT_CONF_UNDER_TEST_H

#include "conf/conf.h"
#include "test_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

static inline void write_file(const char *name, const char *text, mode_t mode)
{
    FILE *f = fopen(in_folder(name), "we");
    require(f && fputs(text, f) >= 0 && fclose(f) == 0 && chmod(in_folder(name), mode) == 0, name);
}

static inline char *print(const struct conf_messages *messages)
{
    struct text text = { 0 };
    conf_messages_print(messages, &text);
    return text_take(&text);
}

/* Must be valid; warnings are for the caller. */
static inline struct config *load_with(const char *name, struct conf_messages *messages)
{
    struct config *config = conf_load(in_folder(name), messages);
    if (!config) {
        char *said = print(messages);
        fail_msg("%s", said);
    }
    assert_int_equal(messages->errors, 0);
    return config;
}

static inline struct config *load_file(const char *name)
{
    struct conf_messages messages = { 0 };
    struct config *config = load_with(name, &messages);
    conf_messages_clear(&messages);
    return config;
}

static inline struct config *load_text(const char *text)
{
    write_file("test.conf", text, 0644);
    return load_file("test.conf");
}

#define ONE_ENDPOINT "endpoints = ( { name = \"x\"; address = \"http://127.0.0.1:1\"; } ); "
#define POOL_P "pools = ( { name = \"p\"; " ONE_ENDPOINT "} );\n"
#define BALANCER "load_balancers = ( { hostnames = [ \"*\" ]; default_pools = [ \"p\" ]; } );\n"
#define LISTENER "listeners = ( { address = \":8080\"; } );\n"

#endif
