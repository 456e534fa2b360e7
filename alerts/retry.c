#include "alerts/retry.h"

static const unsigned pauses_s[] = { 1, 2, 5, 15, 30, 60, 300 };
enum { PAUSES = sizeof pauses_s / sizeof *pauses_s };

nsec_t retry_pause(unsigned failures, nsec_t retry_after, double draw)
{
    unsigned row = failures == 0 ? 0 : failures - 1;
    nsec_t pause = pauses_s[row < PAUSES ? row : PAUSES - 1] * NSEC_PER_SEC;

    pause = (nsec_t)((double)pause * (0.9 + 0.2 * draw));
    if (retry_after > RETRY_AFTER_MAX)
        retry_after = RETRY_AFTER_MAX;
    return pause > retry_after ? pause : retry_after;
}
