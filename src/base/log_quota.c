#include "base/log_quota.h"

bool log_quota_take(struct log_quota *q, nsec_t now)
{
    if (q->logged == 0)
        q->window = now;
    if (q->logged < LOG_QUOTA_LINES) {
        q->logged++;
        return true;
    }
    q->kept_back++;
    return false;
}

unsigned log_quota_end(struct log_quota *q, nsec_t now)
{
    unsigned kept_back = q->kept_back;
    if (now - q->window < LOG_QUOTA_WINDOW)
        return 0;
    *q = (struct log_quota){ .window = now };
    return kept_back;
}
