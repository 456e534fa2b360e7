#include "control/tallies.h"

#include "balance/tally.h"
#include "base/mem.h"

#include <string.h>

struct named_tally {
    char *name;
    struct tally *tally;
    const struct config *config; /* the last that it was attached to */
    UT_hash_handle hh;
};

static void forget(struct control *control, struct named_tally *named)
{
    HASH_DEL(control->tallies, named);
    tally_unref(named->tally);
    free(named->name);
    free(named);
}

/* Takes the name. */
static struct tally *attach(struct control *control, const struct config *config, char *name)
{
    struct named_tally *named;
    HASH_FIND_STR(control->tallies, name, named);
    if (named) {
        free(name);
    } else {
        named = mem_zero(sizeof *named);
        named->name = name;
        named->tally = tally_new((unsigned)control->n_workers);
        HASH_ADD_KEYPTR(hh, control->tallies, named->name, strlen(named->name), named);
    }
    named->config = config;
    return tally_ref(named->tally);
}

void tallies_attach(struct control *control, struct config *config)
{
    struct named_tally *named, *next;
    for (size_t i = 0; i < config->n_pools; i++)
        config->pools[i].shed = attach(control, config, mem_printf("pool %s", config->pools[i].name));
    for (size_t i = 0; i < config->n_load_balancers; i++) {
        const struct load_balancer *lb = &config->load_balancers[i];
        for (size_t k = 0; k < lb->n_rules; k++)
            lb->rules[k].requests = attach(control, config, mem_printf("rule %s %s", lb->name, lb->rules[k].label));
    }
    HASH_ITER(hh, control->tallies, named, next)
        if (named->config != config)
            forget(control, named);
}

void tallies_clear(struct control *control)
{
    struct named_tally *named, *next;
    HASH_ITER(hh, control->tallies, named, next)
        forget(control, named);
}
