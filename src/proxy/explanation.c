#include "proxy/explain.h"

#include "base/mem.h"

struct explanation *explanation_new(void)
{
    return mem_zero(sizeof(struct explanation));
}

void explanation_free(struct explanation *x)
{
    free(x->decision);
    free(x->scores);
    free(x->head);
    free(x->listener);
    free(x);
}
