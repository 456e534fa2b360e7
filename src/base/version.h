/* The version, from AC_INIT by way of config.h, which the build includes into every file. */
#ifndef PENSTOCK_BASE_VERSION_H
#define PENSTOCK_BASE_VERSION_H

#ifndef PENSTOCK_VERSION
#define PENSTOCK_VERSION "unconfigured" /* a single file compiled by hand */
#endif

#endif
