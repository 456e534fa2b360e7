/* Tells the service manager how far we are: sd_notify(3) without its library. */
#ifndef PENSTOCK_CONTROL_NOTIFY_H
#define PENSTOCK_CONTROL_NOTIFY_H

/* Without $NOTIFY_SOCKET these do nothing. */
void notify_ready(const char *status);
void notify_reloading(void);
void notify_stopping(void);

#endif
