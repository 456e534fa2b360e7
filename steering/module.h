/* Policies that come as shared objects: one that exports `const struct steering_policy penstock_steering_policy`. */
#ifndef PENSTOCK_STEERING_MODULE_H
#define PENSTOCK_STEERING_MODULE_H

#include "steering/policy.h"

struct steering_module;

/* Loads a copy of `image`, the `n` bytes of the file `path`: whatever becomes of that file, what runs stays as it is, and the file's
 * next content is another module, loaded beside this one. Runs the object's constructors. One reference; NULL with `error`. */
struct steering_module *steering_module_open(const char *path, const void *image, size_t n, char error[256]);
struct steering_module *steering_module_ref(struct steering_module *);
/* The last one unloads it: after the policy's last worker_free and release. Any thread; NULL is fine. */
void steering_module_unref(struct steering_module *);

/* Of the right ABI and whole; valid as long as a reference is held. */
const struct steering_policy *steering_module_policy(const struct steering_module *);
const char *steering_module_path(const struct steering_module *);

#endif
