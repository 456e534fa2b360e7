/* The highest weight per open connection. */
#include "steering/least.h"

static uint32_t load(const struct steering_view *view, size_t index)
{
    return view->connections(view, index);
}

static size_t choose(const void *w, const struct steering_request *request, const struct steering_view *view, double *scores)
{
    return least_choose(w, request, view, load, scores);
}

const struct steering_policy steering_least_connections = {
    .name = "least_connections",
    .abi = STEERING_ABI,
    .scores_are = "weight over open connections, one more included: the highest wins, but one that is idle if a draw by weight meets it",
    .worker_new = least_worker_new,
    .update = least_update,
    .choose = choose,
    .worker_free = least_worker_free,
};
