#include "proxy/explain.h"

#include "base/mem.h"

struct explanation *explanation_new(void)
{
    return mem_zero(sizeof(struct explanation));
}

void explanation_free(struct explanation *x)
{
    for (size_t i = 0; i < x->n_found; i++)
        free(x->found[i]);
    free(x->found);
    free(x->decision);
    free(x->scores);
    free(x->head);
    free(x->listener);
    free(x);
}
