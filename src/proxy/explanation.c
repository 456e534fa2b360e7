#include "proxy/explain.h"

#include "base/mem.h"

struct explanation *explanation_new(void)
{
    return mem_zero(sizeof(struct explanation));
}

void explanation_free(struct explanation *x)
{
    config_unref(x->config);
    arena_clear(&x->arena);
    free(x->scores);
    free(x->head);
    free(x);
}
