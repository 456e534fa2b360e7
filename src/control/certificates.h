/* When our own certificates end: looked at when a configuration comes into force, and daily. */
#ifndef PENSTOCK_CONTROL_CERTIFICATES_H
#define PENSTOCK_CONTROL_CERTIFICATES_H

#include "control/control.h"

struct certificates *certificates_new(struct control *) __attribute__((returns_nonnull));
void certificates_free(struct certificates *);
/* Tells of what is ending, and of what was renewed. */
void certificates_look(struct certificates *);

#endif
