/* Small files of the state directory: read whole, replaced whole. Control thread. */
#ifndef PENSTOCK_CONTROL_STATE_FILE_H
#define PENSTOCK_CONTROL_STATE_FILE_H

#include <stdbool.h>
#include <stddef.h>

#define STATE_FILE_ERROR_SIZE 256

/* Whoever reads the path at any time has the former content or the new, complete, and the file is the owner's alone (0600).
 * `durable`: also after a loss of power, which waits for the disk. False with a message that names the file. */
bool state_file_write(const char *path, const char *bytes, size_t n, bool durable, char error[static STATE_FILE_ERROR_SIZE]);

/* NUL-terminated, *n without it; the caller frees it, with mem_free_secret() where it is one. NULL: *missing says that there is
 * no such file; else a message that names it. Longer than `max` is an error. */
char *state_file_read(const char *path, size_t max, size_t *n, bool *missing, char error[static STATE_FILE_ERROR_SIZE]);

#endif
