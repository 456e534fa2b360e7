/* The highest weight per request in flight. */
#include "steering/least.h"

static uint32_t load(const struct steering_view *view, size_t index)
{
    return view->in_flight(view, index);
}

static size_t choose(const void *w, const struct steering_request *request, const struct steering_view *view, double *scores)
{
    return least_choose(w, request, view, load, scores);
}

const struct steering_policy steering_least_outstanding_requests = {
    .name = "least_outstanding_requests",
    .abi = STEERING_ABI,
    .scores_are = "weight over requests in flight, the next one included: the highest wins, but one that is idle if a draw by weight meets it",
    .worker_new = least_worker_new,
    .update = least_update,
    .choose = choose,
    .worker_free = least_worker_free,
};
